//! Images made on the spot: one layer of random bytes, so that nothing compresses it and no registry has seen it before.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use aws_lc_rs::digest::{Context as Hasher, SHA256, digest};
use serde_json::{Value, json};

use super::process::{command, run_ok};

const TAG: &str = "v1";

/// An OCI image layout on disk, and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The layout's directory; its one image is called [`Image::tag`].
    pub(crate) layout: PathBuf,
    /// The same layout as one archive, as `ctr` wants it.
    pub(crate) archive: PathBuf,
    /// The layer as it is in the layout.
    pub(crate) layer: PathBuf,
    pub(crate) layer_digest: String,
    pub(crate) config_digest: String,
    pub(crate) manifest_digest: String,
}

impl Image {
    /// Makes one with a layer of `mib` MiB below `dir`.
    pub(crate) async fn make(dir: &Path, mib: usize) -> Result<Self> {
        let layout = dir.join("layout");
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        let tar = dir.join("layer.tar");
        write_tar(dir, &tar, mib).await?;
        let diff_id = sha256_of(&tar)?;
        let packed = dir.join("layer.tar.gz");
        run_ok(command("sh").args(["-c", "gzip -n -1 -c \"$0\" >\"$1\""]).arg(&tar).arg(&packed), MINUTE).await?;
        let layer_digest = sha256_of(&packed)?;
        let layer = blob_path(&blobs, &layer_digest)?;
        std::fs::rename(&packed, &layer)?;

        let config = json!({
            "architecture": architecture(), "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
            "history": [{ "created_by": "a test of Tidegate" }],
        });
        let (config_digest, config_size) = put_json(&blobs, &config)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config_digest, config_size),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer_digest, layer.metadata()?.len())],
        });
        let (manifest_digest, manifest_size) = put_json(&blobs, &manifest)?;
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest_digest, manifest_size);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("annotations".into(), json!({ "org.opencontainers.image.ref.name": TAG }));
        }
        std::fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [entry] }).to_string())?;
        std::fs::write(layout.join("oci-layout"), json!({ "imageLayoutVersion": "1.0.0" }).to_string())?;
        let archive = dir.join("layout.tar");
        run_ok(command("tar").arg("-cf").arg(&archive).arg("-C").arg(&layout).arg("."), MINUTE).await?;
        Ok(Self { layout, archive, layer, layer_digest, config_digest, manifest_digest })
    }

    pub(crate) fn tag(&self) -> &'static str {
        TAG
    }

    /// True when a layout that was pulled holds this image, byte for byte.
    pub(crate) fn is_in(&self, layout: &Path) -> Result<bool> {
        let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
        let named = index.pointer("/manifests/0/digest").and_then(Value::as_str) == Some(self.manifest_digest.as_str());
        let blobs = layout.join("blobs/sha256");
        for digest in [&self.layer_digest, &self.config_digest, &self.manifest_digest] {
            if sha256_of(&blob_path(&blobs, digest)?)? != *digest {
                return Ok(false);
            }
        }
        Ok(named)
    }
}

/// `sha256:…` of a file.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let mut hasher = Hasher::new(&SHA256);
    let mut file =
        std::io::BufReader::with_capacity(1 << 20, File::open(path).with_context(|| path.display().to_string())?);
    loop {
        let chunk = std::io::BufRead::fill_buf(&mut file)?;
        if chunk.is_empty() {
            return Ok(format!("sha256:{}", hex(hasher.finish().as_ref())));
        }
        hasher.update(chunk);
        let read = chunk.len();
        std::io::BufRead::consume(&mut file, read);
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// A tar archive of one file of random bytes.
pub(crate) async fn write_tar(dir: &Path, path: &Path, mib: usize) -> Result<()> {
    let payload = dir.join("payload");
    let mut file = File::create(&payload)?;
    let mut chunk = vec![0; 1 << 20];
    for _ in 0..mib {
        aws_lc_rs::rand::fill(&mut chunk)?;
        file.write_all(&chunk)?;
    }
    run_ok(
        command("tar").arg("--owner=0").arg("--group=0").arg("-cf").arg(path).arg("-C").arg(dir).arg("payload"),
        MINUTE,
    )
    .await?;
    Ok(std::fs::remove_file(payload)?)
}

fn put_json(blobs: &Path, value: &Value) -> Result<(String, u64)> {
    let bytes = serde_json::to_vec(value)?;
    let digest = format!("sha256:{}", hex(digest(&SHA256, &bytes).as_ref()));
    std::fs::write(blob_path(blobs, &digest)?, &bytes)?;
    Ok((digest, u64::try_from(bytes.len())?))
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

fn blob_path(blobs: &Path, digest: &str) -> Result<PathBuf> {
    Ok(blobs.join(digest.strip_prefix("sha256:").context("digests here are SHA-256")?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The machine's own, in the words of the image specification: clients skip images of other platforms.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
