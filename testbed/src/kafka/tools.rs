use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::error::Error;
use crate::provision;

const TOOLS: [(&str, &str); 4] = [
    (
        "kafka-console-consumer.sh",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    ("kafka-acls.sh", "org.apache.kafka.tools.AclCommand"),
];

/// Puts Kafka's own command-line tools into a folder, under the names that Kafka gives them: the cache
/// has their classes only.
///
/// # Errors
/// When Kafka cannot be fetched or the folder cannot be written to.
pub fn install_kafka_tools(folder: &Path) -> Result<(), Error> {
    let kafka = provision::kafka()?;
    let fail = |path: &Path| Error::because(format!("{} cannot be written", path.display()));
    std::fs::create_dir_all(folder).map_err(fail(folder))?;
    for (name, class) in TOOLS {
        let script = format!(
            "#!/bin/sh\nexec '{}' -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
             -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp '{}' {class} \"$@\"\n",
            kafka.java().display(),
            kafka.class_path()
        );
        let path = folder.join(name);
        std::fs::write(&path, script).map_err(fail(&path))?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, executable).map_err(fail(&path))?;
    }
    Ok(())
}
