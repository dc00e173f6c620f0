//! The rules for manifests, on small ones.

use cargo_metadata::Metadata;

use super::*;
use crate::tidy::testing::said;

const GOOD: &str = "\
[package]
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true

[dependencies]
tokio = { workspace = true, features = [
  \"time\",
] }
http.workspace = true

[lints]
workspace = true
";

fn inherits_in(text: &str) -> Vec<(usize, String)> {
    said(inherits(&File::new("crates/kit/Cargo.toml", text)))
}

/// A package as `cargo metadata` would show it, with dependencies `name kind target`.
fn package(name: &str, dependencies: &[(&str, &str, &str)]) -> Package {
    let dependencies: Vec<String> = dependencies
        .iter()
        .map(|(name, kind, target)| {
            format!(
                r#"{{"name":"{name}","req":"*","kind":{kind},"optional":false,"uses_default_features":true,"features":[],"target":{target},"path":"/w/{name}"}}"#
            )
        })
        .collect();
    let json = format!(
        r#"{{"packages":[{{"name":"{name}","version":"0.1.0","id":"{name}","dependencies":[{}],"targets":[],"features":{{}},"manifest_path":"/w/Cargo.toml"}}],"workspace_members":["{name}"],"resolve":null,"workspace_root":"/w","target_directory":"/w/target","version":1}}"#,
        dependencies.join(",")
    );
    let metadata: Metadata = cargo_metadata::MetadataCommand::parse(json).unwrap();
    metadata.packages.into_iter().next().unwrap()
}

#[test]
fn manifest_that_takes_all_from_the_workspace_passes() {
    assert_eq!(inherits_in(GOOD), []);
}

#[test]
fn dependency_with_a_version_of_its_own_is_found() {
    let text = GOOD.replace("http.workspace = true", "http = \"1\"");
    assert_eq!(
        inherits_in(&text),
        [(11, "a dependency with a version of its own".to_owned())]
    );
}

#[test]
fn package_without_the_lints_or_the_version_is_found() {
    let text = GOOD.replace("[lints]", "[other]");
    assert_eq!(
        inherits_in(&text),
        [(1, "the package has lints of its own or none".to_owned())]
    );
    let text = GOOD.replace("\nversion.workspace = true", "\nversion = \"0.2.0\"");
    assert_eq!(
        inherits_in(&text),
        [(
            1,
            "the manifest lacks `version.workspace = true`".to_owned()
        )]
    );
}

#[test]
fn core_depends_on_nothing_but_loom_in_models() {
    let core = package(
        "seaworthy-core",
        &[
            ("loom", "null", "\"cfg(seaworthy_loom)\""),
            ("proptest", "\"dev\"", "null"),
            ("libm", "null", "null"),
            ("libc", "null", "\"cfg(unix)\""),
            ("cc", "\"build\"", "null"),
        ],
    );
    let depends = |name: &str| (1, format!("core depends on `{name}`"));
    assert_eq!(
        said(pure("Cargo.toml", &core.dependencies)),
        [depends("libm"), depends("libc"), depends("cc")]
    );
}

#[test]
fn arrow_that_points_up_or_sideways_is_found() {
    let retry = package(
        "seaworthy-retry",
        &[
            ("seaworthy-http", "null", "null"),
            ("seaworthy-timeout", "null", "null"),
            ("seaworthy-bulkhead", "\"dev\"", "null"),
            ("seaworthy", "null", "null"),
        ],
    );
    let depends = |name: &str| (1, format!("seaworthy-retry depends on {name}"));
    assert_eq!(
        said(arrows("Cargo.toml", &retry)),
        [depends("seaworthy-timeout"), depends("seaworthy")]
    );
}

#[test]
fn package_from_elsewhere_is_found() {
    let lock = File::new(
        "Cargo.lock",
        "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://example.com/a\"\n",
    );
    let elsewhere = "a package comes from \"git+https://example.com/a\"".to_owned();
    assert_eq!(said(sources(&lock)), [(2, elsewhere)]);
}
