use std::io;
use std::path::{Path, PathBuf};

use super::AddressError;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The settings of a service, from the first file that has it.
/// <https://www.postgresql.org/docs/current/libpq-pgservice.html>
pub(super) fn settings(
    service: &str,
    files: impl Iterator<Item = PathBuf>,
) -> Result<Vec<(String, String)>, AddressError> {
    let mut looked_in = Vec::new();
    for file in files {
        if let Some(text) = read(&file)?
            && let Some(settings) = section(&text, service, &file)?
        {
            return Ok(settings);
        }
        looked_in.push(file.display().to_string());
    }
    Err(AddressError::ServiceMissing {
        service: service.to_owned(),
        looked_in: looked_in.join(" and "),
    })
}

/// A file's text; none where there is no file.
fn read(file: &Path) -> Result<Option<String>, AddressError> {
    let failed = |error: io::Error| AddressError::ServiceFile {
        file: file.display().to_string(),
        why: error.to_string(),
    };
    match std::fs::metadata(file) {
        Ok(about) if about.len() > FILE_BYTES_MAX => Err(failed(io::Error::other(format!(
            "it has more than {FILE_BYTES_MAX} bytes"
        )))),
        Ok(_) => std::fs::read_to_string(file).map(Some).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The lines below `[service]`, none where there is no such line.
pub(super) fn section(
    text: &str,
    service: &str,
    file: &Path,
) -> Result<Option<Vec<(String, String)>>, AddressError> {
    let mut settings: Option<Vec<_>> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            if settings.is_some() {
                break;
            }
            if name
                .split_once(']')
                .is_some_and(|(name, _)| name == service)
            {
                settings = Some(Vec::new());
            }
            continue;
        }
        let Some(settings) = &mut settings else {
            continue;
        };
        // The line itself may hold a password.
        let bad = |why: &str| AddressError::ServiceFile {
            file: format!("{}:{}", file.display(), number + 1),
            why: why.to_owned(),
        };
        match line.split_once('=') {
            Some(("service", _)) => return Err(bad("a service cannot name another one")),
            Some((keyword, value)) => settings.push((keyword.to_owned(), value.to_owned())),
            None => return Err(bad("a line must be keyword=value")),
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# comment\nhost=nobody\n[one]\nhost=a\n\n  port=1  \n[two]\nhost=b=c\n\
                        [two]\nport=2\n[bad]\ncanary\n[nested]\nservice=one\n";

    #[test]
    fn a_service_is_the_first_section_of_its_name() {
        let of = |service| section(TEXT, service, Path::new("f"));
        let pairs = |found: Option<Vec<(String, String)>>| {
            let found = found.unwrap().into_iter();
            found
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(pairs(of("one").unwrap()), ["host=a", "port=1"]);
        assert_eq!(pairs(of("two").unwrap()), ["host=b=c"]);
        assert!(of("three").unwrap().is_none());
        let bad = of("bad").unwrap_err().to_string();
        assert!(bad.contains("f:12: a line must be keyword=value"), "{bad}");
        assert!(!bad.contains("canary"), "{bad}");
        assert!(of("nested").is_err());
    }
}
