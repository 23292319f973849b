//! Kafka's own tools, which are not installed as scripts here.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testbed::provision;

const TOOLS: [(&str, &str); 4] = [
    (
        "kafka-console-consumer.sh",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
];

/// Puts them into a folder, under the names that Kafka gives them.
pub(crate) fn install(folder: &Path) {
    let kafka = provision::kafka().unwrap();
    for (name, class) in TOOLS {
        let script = format!(
            "#!/bin/sh\nexec '{}' -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
             -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp '{}' {class} \"$@\"\n",
            kafka.java().display(),
            kafka.class_path()
        );
        let path = folder.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
}
