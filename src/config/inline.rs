//! Values that are tables on one line, or may be.

use std::path::PathBuf;

use super::file::{Certificates, Pair, ProxyProtocol, ProxyTable};
use super::item::{At, Item, Value};
use super::problem::Reporter;
use super::section::{Key, Section};
use super::value::Origin;

/// `tls`: one pair, or several.
#[derive(Debug)]
pub(crate) struct Tls(pub(crate) Vec<Pair>);

/// `proxy`: a URL, or a table.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) url: Option<At<Origin>>,
    pub(crate) ca: Option<At<PathBuf>>,
}

impl Value for Tls {
    fn want() -> String {
        "`{ certificate = \"…\", key = \"…\" }`, or `{ certificates = [ { certificate = \"…\", key = \"…\" }, … ] }`"
            .to_owned()
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        let Some(table) = item.value.as_table() else {
            item.wrong(&Self::want(), reporter);
            return None;
        };
        if !table.contains_key("certificates") {
            return Some(Self(vec![item.section(reporter)?]));
        }
        let several: Certificates = item.section(reporter)?;
        Some(Self(several.certificates?.value.into_iter().map(|pair| pair.value).collect()))
    }

    fn inside() -> Vec<Key> {
        Pair::keys().into_iter().chain(Certificates::keys()).collect()
    }
}

/// Values that are an inline table and nothing else.
macro_rules! inline_tables {
    ($($Type:ty, $want:literal;)+) => {$(
        impl Value for $Type {
            fn want() -> String {
                $want.to_owned()
            }

            fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
                if !item.value.is_table() {
                    item.wrong($want, reporter);
                    return None;
                }
                item.section(reporter)
            }

            fn inside() -> Vec<Key> {
                <$Type>::keys()
            }
        }
    )+};
}

inline_tables! {
    Pair, "`{ certificate = \"…\", key = \"…\" }`";
    ProxyProtocol, "`{ from = [\"10.0.0.5/32\"] }`";
}

impl Value for Proxy {
    fn want() -> String {
        "a URL without a path, or `{ url = \"…\", ca = \"…\" }`".to_owned()
    }

    fn read(item: &Item<'_>, reporter: &mut Reporter<'_>) -> Option<Self> {
        if item.value.is_table() {
            let ProxyTable { url, ca, .. } = item.section(reporter)?;
            return Some(Self { url, ca });
        }
        if !item.value.is_str() {
            item.wrong(&Self::want(), reporter);
            return None;
        }
        let url = At { value: Origin::read(item, reporter)?, place: item.place.clone() };
        Some(Self { url: Some(url), ca: None })
    }

    fn inside() -> Vec<Key> {
        ProxyTable::keys()
    }
}
