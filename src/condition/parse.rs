//! [`ParseError`], and what the types that are read from text have in common.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;

/// Longer texts are refused unread: nothing that is accepted needs as much.
const LONGEST: usize = 128;

/// At most this much of an input is shown in an error, in bytes of its escaped form.
const INPUT_SHOWN: usize = 48;

/// A text that is not what it should be: a time of day, a weekday, a period, a moment, or the
/// name of a time zone.
///
/// Its own text shows the input, says what is wrong with it, and which forms are accepted.
///
/// ```
/// use executor_engine::condition::Clock;
///
/// let error = "12:60".parse::<Clock>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "\"12:60\" is not a time of day: minutes go from 0 to 59. Write it like \"9\", \"12:30\" \
///      or \"12:30:15\", from \"0:00\" to \"24:00\""
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ParseError(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    /// What the input was to be.
    form: Form,
    /// The input as it is shown.
    input: String,
    /// What is wrong with it.
    problem: Cow<'static, str>,
}

/// What can be read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Clock,
    ClockSpan,
    Weekday,
    Period,
    Timepoint,
    Zone,
}

impl Form {
    /// What it is called.
    const fn name(self) -> &'static str {
        match self {
            Self::Clock => "a time of day",
            Self::ClockSpan => "a span of the day",
            Self::Weekday => "a weekday",
            Self::Period => "a period",
            Self::Timepoint => "a moment",
            Self::Zone => "a time zone",
        }
    }

    /// What to do instead.
    const fn accepted(self) -> &'static str {
        match self {
            Self::Clock => {
                "Write it like \"9\", \"12:30\" or \"12:30:15\", from \"0:00\" to \"24:00\""
            }
            Self::ClockSpan => {
                "Give two different times; the whole day is from \"0:00\" to \"24:00\""
            }
            Self::Weekday => {
                "Write \"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\" or the \
                 English name in full"
            }
            Self::Period => {
                "Write it like \"90s\", \"1.5h\" or \"1h30m\", with the units w, d, h, m (or \
                 min), s, ms, us, ns; at most 36500 days"
            }
            Self::Timepoint => {
                "Write it like \"2026-11-24T08:00:00Z\", \"2026-11-24T08:00:00+01:00\" or \
                 \"2026-11-24T08:00[Europe/Berlin]\""
            }
            Self::Zone => {
                "Give a name of the IANA time zone database, which looks like \
                 \"Europe/Berlin\", or \"UTC\""
            }
        }
    }
}

impl ParseError {
    /// Says that `input` is not a `form`, and why.
    pub(super) fn new(form: Form, input: &str, problem: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { form, input: shown(input, INPUT_SHOWN), problem: problem.into() }))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { form, input, problem } = &*self.0;
        write!(f, "\"{input}\" is not {}: {problem}. {}", form.name(), form.accepted())
    }
}

impl fmt::Debug for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ParseError").field(&self.to_string()).finish()
    }
}

impl std::error::Error for ParseError {}

impl From<Infallible> for ParseError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The input without blanks around it, unless it is too long to be anything.
pub(super) fn trimmed(form: Form, input: &str) -> Result<&str, ParseError> {
    if input.len() > LONGEST {
        let problem = format!("it is {} bytes long, and {LONGEST} are the most", input.len());
        return Err(ParseError::new(form, input, problem));
    }
    match input.trim() {
        "" => Err(ParseError::new(form, input, "it is empty")),
        text => Ok(text),
    }
}

/// A text from elsewhere made fit to be shown: control characters escaped, and cut after so many
/// bytes.
pub(super) fn shown(text: &str, most: usize) -> String {
    let mut short = String::new();
    for char in text.chars() {
        let from = short.len();
        match char {
            '\'' | '"' => short.push(char),
            _ => short.extend(char.escape_debug()),
        }
        if short.len() > most {
            short.truncate(from);
            short.push_str("...");
            break;
        }
    }
    short
}

/// Gives a type that has `FromStr` and `Display` the other ways from and to text: `TryFrom` the
/// kinds of strings, and serde as a string.
macro_rules! string_forms {
    ($type:ident, $what:literal) => {
        impl TryFrom<&str> for $type {
            type Error = $crate::condition::parse::ParseError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $type {
            type Error = $crate::condition::parse::ParseError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<&String> for $type {
            type Error = $crate::condition::parse::ParseError;

            fn try_from(text: &String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }
    };
}

pub(super) use string_forms;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::condition::{Clock, Period, Timepoint, Weekday};

    /// What every type says to an input, or nothing where it takes it.
    fn refusals(input: &str) -> [Option<String>; 4] {
        fn said<T: std::str::FromStr<Err = ParseError>>(input: &str) -> Option<String> {
            input.parse::<T>().err().map(|error| error.to_string())
        }
        [
            said::<Clock>(input),
            said::<Weekday>(input),
            said::<Period>(input),
            said::<Timepoint>(input),
        ]
    }

    #[test]
    fn an_error_shows_the_input_shortened_and_escaped() {
        assert_eq!(shown("12:30", 48), "12:30");
        assert_eq!(shown("a\n\u{7}\u{1b}[31m\"'\\", 48), "a\\n\\u{7}\\u{1b}[31m\"'\\\\");
        assert_eq!(shown(&"x".repeat(48), 48), "x".repeat(48));
        assert_eq!(shown(&"x".repeat(49), 48), format!("{}...", "x".repeat(48)));
        assert_eq!(shown(&"é".repeat(49), 48), format!("{}...", "é".repeat(24)));
        assert_eq!(shown(&"\u{202e}".repeat(9), 48), format!("{}...", "\\u{202e}".repeat(6)));
    }

    #[test]
    fn every_error_says_what_to_do() {
        for input in ["", "  ", "nonsense", "-1", "\0"] {
            for said in refusals(input) {
                let said = said.expect("refused");
                assert!(said.contains(". Write "), "{said}");
                assert!(said.starts_with(&format!("\"{}\" is not a", shown(input, 48))), "{said}");
            }
        }
    }

    #[test]
    fn hostile_texts_are_refused_at_once() {
        let hostile = [
            "9".repeat(5_000_000),
            " ".repeat(5_000_000),
            "1:".repeat(10_000),
            "1h".repeat(10_000),
            "\u{0}".repeat(1_000_000),
            "é".repeat(1_000_000),
            format!("{}12:30", " ".repeat(200)),
            format!("2026-11-24T08:00[{}]", "A/".repeat(100_000)),
            // Short enough to be read.
            format!("1.{}s", "1".repeat(125)),
            format!("{}s", "9".repeat(127)),
            "1:".repeat(64),
            format!("2026-11-24T08:00:00.{}Z", "1".repeat(100)),
            format!("2026-11-24T08:00[{}]", "A/".repeat(50)),
        ];
        let _ = refusals("2026-11-24T08:00[Not/There]"); // loads the names of the zones
        for input in &hostile {
            // The best of a few, as another process may have the processor.
            let took = (0..20).map(|_| {
                let start = Instant::now();
                let said = refusals(input);
                let took = start.elapsed();
                for said in said {
                    assert!(said.expect("refused").len() < 500);
                }
                took
            });
            let took = took.min().expect("not empty");
            assert!(took < Duration::from_millis(1), "{took:?} for {}", shown(input, 48));
        }
    }

    #[test]
    fn every_type_takes_every_kind_of_string() {
        fn takes<T>(text: &str)
        where
            T: std::str::FromStr<Err = ParseError> + PartialEq + fmt::Debug,
            T: for<'a> TryFrom<&'a str, Error = ParseError>,
            T: for<'a> TryFrom<&'a String, Error = ParseError>,
            T: TryFrom<String, Error = ParseError>,
            T: serde::Serialize + serde::de::DeserializeOwned + fmt::Display,
        {
            let value = text.parse::<T>().expect("it is one");
            let owned = text.to_owned();
            assert_eq!(T::try_from(text), Ok(text.parse().expect("it is one")));
            assert_eq!(T::try_from(&owned).as_ref(), Ok(&value));
            assert_eq!(T::try_from(owned).as_ref(), Ok(&value));

            let json = serde_json::to_string(&value).expect("a string");
            assert_eq!(json, format!("\"{value}\""));
            assert_eq!(serde_json::from_str::<T>(&json).expect("comes back"), value);
            // Through a reader, which has no text to borrow.
            let read = serde_json::from_reader::<_, T>(json.as_bytes());
            assert_eq!(read.expect("comes back"), value);
            let packed = rmp_serde::to_vec(&value).expect("a string");
            assert_eq!(rmp_serde::from_slice::<T>(&packed).expect("comes back"), value);
            let wrong = serde_json::from_str::<T>("\"nonsense\"").expect_err("not one");
            assert!(wrong.to_string().contains(". Write "), "{wrong}");
            assert!(serde_json::from_str::<T>("7").is_err());
        }
        takes::<Clock>(" 12:30 ");
        takes::<Weekday>(" mon ");
        takes::<Period>(" 1.5h ");
        takes::<Timepoint>(" 2026-11-24T08:00:00Z ");
    }
}
