//! What a manifest or a blob is asked for by: a tag or a digest (OCI distribution-spec, `<reference>`, `<digest>`).
