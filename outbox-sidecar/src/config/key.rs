use super::origin::Raw;

/// A key of the configuration: all that is known of it stands here, for reading, for errors and for
/// the table in docs/configuration.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its section and name, with a dot between.
    pub(super) name: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
    /// Its default as text; `None` where there is none.
    pub(super) default: Option<&'static str>,
    /// Which values it may have.
    pub(super) allowed: Allowed,
    /// Whether its value may hold a secret.
    pub(super) secret: bool,
    /// What it is for, as a cell of the table.
    pub(super) meaning: &'static str,
}

/// What a value is. The environment and flags can only say it as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, and sizes such as `8MiB`.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list of texts; as text, with commas between.
    List,
}

/// Which values a key may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// A whole number, both ends included.
    Numbers { min: i64, max: i64 },
    /// A size in bytes, both ends included.
    Bytes { min: u64, max: u64 },
    /// One of these.
    OneOf(&'static [&'static str]),
    /// `true` or `false`.
    Truth,
    /// What the words say.
    Said(&'static str),
    /// The default alone, for now: what there is instead of the rest.
    OnlyDefault { instead: &'static str },
}

impl Allowed {
    /// What would be valid, to end the sentence "expected …".
    pub(super) fn expected(self) -> String {
        match self {
            Self::Numbers { min, max } => format!("a whole number from {min} to {max}"),
            Self::Bytes { min, max } => {
                let (min, max) = (size(min), size(max));
                format!("a size from {min} to {max}, such as \"8MiB\"")
            }
            Self::OneOf(values) => either(values),
            Self::Truth => either(&["true", "false"]),
            Self::Said(words) => words.to_owned(),
            Self::OnlyDefault { instead } => instead.to_owned(),
        }
    }
}

/// `a, b or c`.
fn either(values: &[&str]) -> String {
    match values {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => values.concat(),
    }
}

/// In the largest unit without a fraction.
pub(super) fn size(bytes: u64) -> String {
    [(30, "GiB"), (20, "MiB"), (10, "KiB")]
        .into_iter()
        .find(|(bits, _)| bytes > 0 && bytes.trailing_zeros() >= *bits)
        .map_or_else(
            || format!("{bytes} bytes"),
            |(bits, unit)| format!("{} {unit}", bytes >> bits),
        )
}

impl Kind {
    /// The value that a text means; what cannot be read stays as written, for the error.
    pub(super) fn read(self, text: String) -> Raw {
        let read = match self {
            Self::Text => None,
            Self::Number => text.trim().parse().ok().map(Raw::Integer),
            Self::Boolean => text.trim().parse().ok().map(Raw::Boolean),
            Self::List => Some(Raw::List(
                text.split(',').map(|part| part.trim().to_owned()).collect(),
            )),
        };
        read.unwrap_or(Raw::Text(text))
    }
}

impl Key {
    const fn new(name: &'static str, kind: Kind, allowed: Allowed, meaning: &'static str) -> Self {
        Self {
            name,
            kind,
            default: None,
            allowed,
            secret: false,
            meaning,
        }
    }

    /// A text of which the words say what it may be.
    pub(super) const fn text(
        name: &'static str,
        words: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Text, Allowed::Said(words), meaning)
    }

    /// A list of such texts.
    pub(super) const fn list(
        name: &'static str,
        words: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::List, Allowed::Said(words), meaning)
    }

    /// One of a few words.
    pub(super) const fn choice(
        name: &'static str,
        values: &'static [&'static str],
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Text, Allowed::OneOf(values), meaning)
    }

    /// `true` or `false`.
    pub(super) const fn truth(name: &'static str, meaning: &'static str) -> Self {
        Self::new(name, Kind::Boolean, Allowed::Truth, meaning)
    }

    /// A whole number.
    pub(super) const fn number(
        name: &'static str,
        (min, max): (i64, i64),
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Number, Allowed::Numbers { min, max }, meaning)
    }

    /// A size.
    pub(super) const fn bytes(
        name: &'static str,
        (min, max): (u64, u64),
        meaning: &'static str,
    ) -> Self {
        Self::new(name, Kind::Text, Allowed::Bytes { min, max }, meaning)
    }

    /// A key that a later release will give a meaning.
    pub(super) const fn later(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        instead: &'static str,
        meaning: &'static str,
    ) -> Self {
        Self::new(name, kind, Allowed::OnlyDefault { instead }, meaning).or(default)
    }

    /// The same with a default.
    pub(super) const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The same, its value never to be shown.
    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_said_in_words() {
        assert_eq!(either(&["a", "b", "c"]), "a, b or c");
        assert_eq!(either(&["a"]), "a");
        assert_eq!(size(64 << 30), "64 GiB");
        assert_eq!(size(1536), "1536 bytes");
        assert_eq!(size(0), "0 bytes");
    }
}
