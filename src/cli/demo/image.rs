//! An image made on the spot: one layer of random bytes, so that no client compresses it and no registry has it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_lc_rs::digest::{Context as Hasher, SHA256, digest};
use serde_json::{Value, json};

use super::child::{command, run_ok};
use crate::base::units::ByteSize;

/// The image's name in its layout.
pub(super) const TAG: &str = "v1";
/// Ample for packing what is pushed in a minute.
const PACKING: Duration = Duration::from_secs(120);
const MIB: usize = 1 << 20;

/// An OCI image layout on disk.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) layout: PathBuf,
    /// The layer as a plain tar archive.
    pub(super) tar: PathBuf,
    /// Bytes of the layer as it is pushed.
    pub(super) layer_size: u64,
    pub(super) manifest_digest: String,
    layer_digest: String,
}

impl Image {
    /// Makes one below `dir`, its layer of `size` and a little more.
    pub(super) async fn make(dir: &Path, size: ByteSize) -> anyhow::Result<Self> {
        let layout = dir.join("layout");
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        let (tar, packed, log) = (dir.join("layer.tar"), dir.join("layer.tar.gz"), dir.join("pack.log"));
        randomize(&dir.join("random"), size)?;
        let mut archive = command(Path::new("tar"));
        archive.args(["--owner=0", "--group=0", "-cf"]).arg(&tar).arg("-C").arg(dir).arg("random");
        run_ok(&mut archive, &log, PACKING).await?;
        std::fs::remove_file(dir.join("random"))?;
        let diff_id = sha256(&tar)?;
        // Clients pack a plain layer anew, each in its own way; a packed one is pushed as it is. Beside the archive
        // that it packs, gzip leaves `layer.tar.gz`.
        run_ok(command(Path::new("gzip")).args(["-n", "-1", "-k"]).arg(&tar), &log, PACKING).await?;
        let layer_digest = sha256(&packed)?;
        let layer = blob(&blobs, &layer_digest)?;
        std::fs::rename(&packed, &layer)?;
        let layer_size = layer.metadata()?.len();

        let config = json!({
            "architecture": architecture(), "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
            "history": [{ "created_by": "tidegate demo" }],
        });
        let (config, config_size) = put(&blobs, &config)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config, config_size),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer_digest, layer_size)],
        });
        let (manifest_digest, manifest_size) = put(&blobs, &manifest)?;
        let mut named = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest_digest, manifest_size);
        if let Some(named) = named.as_object_mut() {
            named.insert("annotations".to_owned(), json!({ "org.opencontainers.image.ref.name": TAG }));
        }
        std::fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [named] }).to_string())?;
        std::fs::write(layout.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
        Ok(Self { layout, tar, layer_size, manifest_digest, layer_digest })
    }

    /// Compares a layout that was pulled, byte for byte as far as SHA-256 can tell, and gives the manifest's digest.
    ///
    /// # Errors
    /// What differs.
    pub(super) fn same_as(&self, pulled: &Path) -> anyhow::Result<String> {
        let index: Value = serde_json::from_slice(&std::fs::read(pulled.join("index.json"))?)?;
        let named = index.pointer("/manifests/0/digest").and_then(Value::as_str).unwrap_or_default();
        ensure!(named == self.manifest_digest, "pushed manifest {}, pulled {named}", self.manifest_digest);
        for digest in [&self.manifest_digest, &self.layer_digest] {
            let found = sha256(&blob(&pulled.join("blobs/sha256"), digest)?)?;
            ensure!(found == *digest, "pushed {digest}, pulled {found}");
        }
        Ok(named.to_owned())
    }
}

fn randomize(path: &Path, size: ByteSize) -> anyhow::Result<()> {
    let mut file = File::create(path).with_context(|| path.display().to_string())?;
    let mut left = size.0;
    let mut chunk = vec![0; MIB];
    while left > 0 {
        chunk.truncate(usize::try_from(left).unwrap_or(MIB));
        aws_lc_rs::rand::fill(&mut chunk).context("no random bytes")?;
        file.write_all(&chunk)?;
        left = left.saturating_sub(chunk.len() as u64);
    }
    Ok(())
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hasher = Hasher::new(&SHA256);
    let mut chunk = vec![0; MIB];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(named(hasher.finish().as_ref()));
        }
        hasher.update(chunk.get(..read).unwrap_or_default());
    }
}

fn put(blobs: &Path, value: &Value) -> anyhow::Result<(String, u64)> {
    let bytes = value.to_string().into_bytes();
    let digest = named(digest(&SHA256, &bytes).as_ref());
    std::fs::write(blob(blobs, &digest)?, &bytes)?;
    Ok((digest, bytes.len() as u64))
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

fn blob(blobs: &Path, digest: &str) -> anyhow::Result<PathBuf> {
    Ok(blobs.join(digest.strip_prefix("sha256:").context("all digests here are SHA-256")?))
}

fn named(hash: &[u8]) -> String {
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// This machine's, in the words of the image specification: clients pass over images for others.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
