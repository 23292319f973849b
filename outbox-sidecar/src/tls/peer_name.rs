use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// Whether a certificate is for a host: by the names that it has for hosts of that kind, and only
/// if it has none by its common name, as libpq decides. Otherwise the names that it is for.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBQ-SSL-CERTIFICATES>
pub(crate) fn check(certificate: &X509Certificate<'_>, host: &str) -> Result<(), Vec<String>> {
    let address = host.parse::<IpAddr>().ok();
    let mut names = Vec::new();
    let mut has_names_of_kind = false;
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.map(|extension| &extension.value.general_names);
    for name in alternatives.into_iter().flatten() {
        match name {
            GeneralName::DNSName(name) => {
                has_names_of_kind |= address.is_none();
                if is_for(name, host) {
                    return Ok(());
                }
                names.push((*name).to_owned());
            }
            GeneralName::IPAddress(bytes) => {
                has_names_of_kind |= address.is_some();
                let found = address_of(bytes);
                if found.is_some() && found == address {
                    return Ok(());
                }
                names.extend(found.map(|address| address.to_string()));
            }
            _ => {}
        }
    }
    if !has_names_of_kind {
        let common_names = certificate.subject().iter_common_name();
        if let Some(name) = common_names.into_iter().find_map(|name| name.as_str().ok()) {
            if is_for(name, host) {
                return Ok(());
            }
            names.push(name.to_owned());
        }
    }
    Err(names)
}

/// `*.example.com` stands for one more label; case does not count.
fn is_for(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return !name.is_empty();
    }
    let Some(suffix) = name.strip_prefix('*').filter(|suffix| suffix.len() > 1) else {
        return false;
    };
    suffix.starts_with('.')
        && host.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty()
                && suffix
                    .get(1..)
                    .is_some_and(|suffix| suffix.eq_ignore_ascii_case(rest))
        })
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        for (name, host) in [
            ("db.example.com", "DB.example.com"),
            ("*.example.com", "db.EXAMPLE.com"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert!(is_for(name, host), "{name} {host}");
        }
        for (name, host) in [
            ("*.example.com", "a.db.example.com"),
            ("*.example.com", "example.com"),
            ("*.example.com", ".example.com"),
            ("*", "example"),
            ("*.", "example."),
            ("d*.example.com", "db.example.com"),
            ("db.example.com", "db.example.com.evil.org"),
            ("", ""),
        ] {
            assert!(!is_for(name, host), "{name} {host}");
        }
    }
}
