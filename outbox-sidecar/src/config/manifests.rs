//! The configuration in deploy/kubernetes/, read as the pods read it.

use std::path::{Path, PathBuf};

use super::{Layers, Overrides, Settings};

/// Where the manifests mount what is secret.
const SECRETS: [&str; 2] = ["/run/outbox-admin/", "/run/outbox/"];

fn manifest(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// The text of a block scalar, without its indentation.
fn block(manifest: &str, name: &str) -> String {
    let (_, rest) = manifest.split_once(&format!("  {name}: |\n")).unwrap();
    let lines = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    lines
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or_default()))
        .collect()
}

/// The variables of a container.
fn variables(manifest: &str) -> Vec<(String, String)> {
    let names = manifest.split("- name: OUTBOX_").skip(1);
    let pairs = names.map(|rest| rest.split_once('\n').unwrap());
    pairs
        .map(|(name, rest)| {
            let value = rest.lines().next().unwrap().trim();
            let value = value.strip_prefix("value: ").unwrap();
            (format!("OUTBOX_{name}"), value.to_owned())
        })
        .collect()
}

/// A folder with whatever files the manifests mount; it ends with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("outbox-manifests-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        for name in manifest("secrets.yaml")
            .lines()
            .filter_map(|line| line.strip_suffix(": replace-me"))
        {
            std::fs::write(path.join(name.trim()), "replaced\n").unwrap();
        }
        Self(path)
    }

    /// The paths as they are here.
    fn here(&self, text: &str) -> String {
        SECRETS.iter().fold(text.to_owned(), |text, mount| {
            text.replace(mount, &format!("{}/", self.0.display()))
        })
    }

    fn settings(&self, variables: Vec<(String, String)>) -> Settings {
        let file = self.0.join("outbox.toml");
        let text = block(&manifest("configuration.yaml"), "outbox.toml");
        std::fs::write(&file, self.here(&text)).unwrap();
        let overrides = Overrides {
            file: Some(file),
            values: Vec::new(),
        };
        let here = |(name, value): (String, String)| (name, self.here(&value));
        let layers = Layers::read(&overrides, variables.into_iter().map(here)).unwrap();
        Settings::read(&layers).unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_configuration_in_the_manifests_is_accepted() {
    let mounted = Mounted::new();
    let app = manifest("app.yaml");
    let relay = mounted.settings(variables(&app));
    assert!(app.contains(&format!("containerPort: {}\n", relay.listen.port())));
    assert!(
        !relay.listen.ip().is_loopback(),
        "the kubelet comes from outside"
    );
    let grace = app.split_once("terminationGracePeriodSeconds: ").unwrap().1;
    let grace: u64 = grace.lines().next().unwrap().parse().unwrap();
    assert!(grace > relay.drain_max.as_secs());
    for path in ["/started", "/ready", "/live"] {
        assert!(app.contains(&format!("path: {path}\n")), "{path}");
    }
    assert!(format!("{:?}", relay.address).contains("relay"));

    let init = variables(&manifest("init.yaml"));
    assert_eq!(init.len(), 2);
    let administrator = mounted.settings(init);
    assert!(format!("{:?}", administrator.address).contains("postgres"));
}
