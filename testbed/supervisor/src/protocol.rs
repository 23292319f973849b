//! The lines that client and supervisor exchange.
//!
//! One request a line, one answer a line; fields are separated by tabs, and tab, newline and
//! backslash inside a field are escaped. The supervisor answers every request before it reads the
//! next one.

use std::path::PathBuf;

use crate::error::Error;
use crate::spawn::{Output, Spawn};

/// Changes whenever a source file of the supervisor changes, so that a binary left over from an
/// older build is found out and built anew.
pub(crate) const FINGERPRINT: u64 = fingerprint(&[
    include_str!("protocol.rs"),
    include_str!("server.rs"),
    include_str!("process_tree.rs"),
    include_str!("spawn.rs"),
    include_str!("main.rs"),
]);

/// A signal that the supervisor delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: servers read their configuration again.
    Hangup,
    /// SIGINT: PostgreSQL's fast shutdown.
    Interrupt,
    /// SIGQUIT: PostgreSQL's immediate shutdown.
    Quit,
    /// SIGTERM.
    Terminate,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: the process freezes, its connections stay open.
    Stop,
    /// SIGCONT: it goes on.
    Continue,
}

/// Who receives a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The process alone.
    Process,
    /// The process and all its descendants, whatever their process group.
    Tree,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Hello,
    Spawn(Spawn),
    Status(u64),
    Signal(u64, Signal, Target),
    Own(PathBuf),
    Delete(PathBuf),
}

impl Signal {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Hangup, "hup"),
        (Self::Interrupt, "int"),
        (Self::Quit, "quit"),
        (Self::Terminate, "term"),
        (Self::Kill, "kill"),
        (Self::Stop, "stop"),
        (Self::Continue, "cont"),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(signal, _)| *signal == self)
            .map_or("kill", |(_, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(signal, _)| *signal)
    }
}

impl Request {
    pub(crate) fn encode(&self) -> Result<String, Error> {
        let fields = match self {
            Self::Hello => vec!["hello".to_owned()],
            Self::Spawn(spawn) => encode_spawn(spawn)?,
            Self::Status(id) => vec!["status".to_owned(), id.to_string()],
            Self::Signal(id, signal, target) => vec![
                "signal".to_owned(),
                id.to_string(),
                signal.name().to_owned(),
                if *target == Target::Tree {
                    "tree"
                } else {
                    "process"
                }
                .to_owned(),
            ],
            Self::Own(directory) => vec!["own".to_owned(), text(directory)?],
            Self::Delete(directory) => vec!["delete".to_owned(), text(directory)?],
        };
        Ok(join(&fields))
    }

    pub(crate) fn decode(line: &str) -> Result<Self, Error> {
        let fields = split(line);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let unknown = || Error::new(format!("unknown request {line:?}"));
        let id = |text: &str| text.parse::<u64>().map_err(|_| unknown());
        match fields.as_slice() {
            ["hello"] => Ok(Self::Hello),
            ["spawn", rest @ ..] => decode_spawn(rest).ok_or_else(unknown).map(Self::Spawn),
            ["status", number] => Ok(Self::Status(id(number)?)),
            ["signal", number, name, target] => {
                let signal = Signal::named(name).ok_or_else(unknown)?;
                let target = if *target == "tree" {
                    Target::Tree
                } else {
                    Target::Process
                };
                Ok(Self::Signal(id(number)?, signal, target))
            }
            ["own", directory] => Ok(Self::Own(PathBuf::from(directory))),
            ["delete", directory] => Ok(Self::Delete(PathBuf::from(directory))),
            _ => Err(unknown()),
        }
    }
}

fn encode_spawn(spawn: &Spawn) -> Result<Vec<String>, Error> {
    let mut fields = vec!["spawn".to_owned()];
    fields.extend(spawn.argv.iter().map(|argument| format!("arg={argument}")));
    fields.extend(
        spawn
            .env
            .iter()
            .map(|(name, value)| format!("env={name}={value}")),
    );
    if spawn.env_clear {
        fields.push("env-clear=".to_owned());
    }
    if let Some((uid, gid)) = spawn.user {
        fields.push(format!("user={uid}:{gid}"));
    }
    if let Some(directory) = &spawn.directory {
        fields.push(format!("directory={}", text(directory)?));
    }
    match &spawn.output {
        Output::Discard => {}
        Output::Inherit => fields.push("inherit=".to_owned()),
        Output::File(path) => fields.push(format!("output={}", text(path)?)),
        Output::Files(output, error) => {
            fields.push(format!("output={}", text(output)?));
            fields.push(format!("error={}", text(error)?));
        }
    }
    Ok(fields)
}

fn decode_spawn(fields: &[&str]) -> Option<Spawn> {
    let mut spawn = Spawn::default();
    for field in fields {
        let (name, value) = field.split_once('=')?;
        match name {
            "arg" => spawn.argv.push(value.to_owned()),
            "env" => {
                let (name, value) = value.split_once('=')?;
                spawn.env.push((name.to_owned(), value.to_owned()));
            }
            "env-clear" => spawn.env_clear = true,
            "user" => {
                let (uid, gid) = value.split_once(':')?;
                spawn.user = Some((uid.parse().ok()?, gid.parse().ok()?));
            }
            "directory" => spawn.directory = Some(PathBuf::from(value)),
            "inherit" => spawn.output = Output::Inherit,
            "output" => spawn.output = Output::File(PathBuf::from(value)),
            "error" => {
                let Output::File(output) = spawn.output else {
                    return None;
                };
                spawn.output = Output::Files(output, PathBuf::from(value));
            }
            _ => return None,
        }
    }
    (!spawn.argv.is_empty()).then_some(spawn)
}

fn text(path: &std::path::Path) -> Result<String, Error> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::new(format!("the path {} is not UTF-8", path.display())))
}

pub(crate) fn join(fields: &[String]) -> String {
    let escape = |field: &String| {
        field
            .replace('\\', "\\\\")
            .replace('\t', "\\t")
            .replace('\n', "\\n")
            .replace('\r', "\\r")
    };
    fields.iter().map(escape).collect::<Vec<_>>().join("\t")
}

pub(crate) fn split(line: &str) -> Vec<String> {
    line.split('\t').map(unescape).collect()
}

fn unescape(field: &str) -> String {
    let mut plain = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('t') => plain.push('\t'),
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain
}

/// FNV-1a over the sources.
const fn fingerprint(sources: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut rest = sources;
    while let [source, tail @ ..] = rest {
        let mut bytes = source.as_bytes();
        while let [byte, more @ ..] = bytes {
            hash = (hash ^ *byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
            bytes = more;
        }
        rest = tail;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_survive_the_line_whatever_they_hold() {
        let spawn = Spawn::new("/bin/sh")
            .args(["-c", "printf 'a\\tb\nc'\tx\\"])
            .env("NAME", "a=b\n")
            .env_clear()
            .user(65534, 65534)
            .directory("/tmp/with space")
            .output(Output::Files("/tmp/out".into(), "/tmp/err".into()));
        let requests = [
            Request::Hello,
            Request::Spawn(spawn),
            Request::Spawn(Spawn::new("true").output(Output::Inherit)),
            Request::Status(7),
            Request::Signal(7, Signal::Stop, Target::Tree),
            Request::Signal(8, Signal::Hangup, Target::Process),
            Request::Own("/tmp/a\tb".into()),
            Request::Delete("/tmp/a".into()),
        ];
        for request in requests {
            let line = request.encode().unwrap();
            assert!(!line.contains('\n'), "{line:?}");
            assert_eq!(Request::decode(&line).unwrap(), request);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "spawn",
            "spawn\targ",
            "status\tx",
            "signal\t1\tnone\ttree",
            "hello\t1",
        ] {
            assert!(Request::decode(line).is_err(), "{line:?}");
        }
    }
}
