use std::path::Path;

use super::registry_name;

#[test]
fn a_registry_is_known_by_what_it_says_of_itself() {
    for (program, said, name) in [
        ("docker-registry", "docker-registry github.com/docker/distribution 2.8.2+ds1", Some("docker-registry 2.8.2")),
        ("registry", "registry github.com/docker/distribution v2.8.3+unknown", Some("registry 2.8.3")),
        ("registry", "/a/b/registry github.com/distribution/distribution/v3 v3.1.2+unknown", Some("registry 3.1.2")),
        ("registry", "registry 1.0", None),
        ("registry", "true (GNU coreutils) 9.1", None),
        ("registry", "", None),
    ] {
        assert_eq!(registry_name(Path::new("/usr/bin").join(program).as_path(), said).as_deref(), name, "{said}");
    }
}
