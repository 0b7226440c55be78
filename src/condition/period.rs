//! [`Period`]: a length of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::parse::{Form, ParseError, shown, string_forms, trimmed};

/// A hundred years of 365 days.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

const NANOS: u128 = 1_000_000_000;

/// The units and their nanoseconds, the longest first.
const UNITS: [(&[&str], u128); 8] = [
    (&["w"], 7 * 86_400 * NANOS),
    (&["d"], 86_400 * NANOS),
    (&["h"], 3_600 * NANOS),
    (&["m", "min"], 60 * NANOS),
    (&["s"], NANOS),
    (&["ms"], 1_000_000),
    // The micro sign and the Greek letter look alike.
    (&["us", "µs", "μs"], 1_000),
    (&["ns"], 1),
];

/// A length of time, from zero to 36,500 days.
///
/// It is written as a number and its unit: `90s`, `1.5h`, `250ms`. The units are `w` (weeks), `d`
/// (days of 24 hours), `h`, `m` or `min`, `s`, `ms`, `us` or `µs`, `ns`. Several add up, longest
/// unit first, each unit once: `1h30m`. Blanks may stand around numbers and units. Decimals are
/// exact; what is finer than a nanosecond is an error.
///
/// ```
/// use std::time::Duration;
///
/// use executor_engine::condition::Period;
///
/// let period: Period = "1.5h".parse()?;
/// assert_eq!(period.as_duration(), Duration::from_secs(5_400));
/// assert_eq!(period, "1h 30m".parse()?);
/// assert_eq!(period.to_string(), "1h30m");
/// assert_eq!(period, Duration::from_secs(5_400).try_into()?);
/// assert!("10".parse::<Period>().is_err()); // ten what?
/// # Ok::<(), executor_engine::condition::ParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// No time at all.
    pub(super) const ZERO: Self = Self(Duration::ZERO);

    /// As long as one can be.
    pub(super) const LONGEST: Self = Self(LONGEST);

    /// The same as a [`Duration`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use executor_engine::condition::Period;
    ///
    /// assert_eq!("250ms".parse::<Period>()?.as_duration(), Duration::from_millis(250));
    /// # Ok::<(), executor_engine::condition::ParseError>(())
    /// ```
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

/// Why a text is no period.
enum Wrong {
    NoNumber,
    Decimals,
    NoUnit,
    UnknownUnit(String),
    Order,
    TooFine,
    TooLong,
}

impl Wrong {
    fn error(self, input: &str) -> ParseError {
        let problem = match self {
            Self::UnknownUnit(unit) => {
                let problem = format!("there is no unit \"{unit}\"");
                return ParseError::new(Form::Period, input, problem);
            }
            Self::NoNumber => "where a number should stand there is none, and no sign may stand",
            Self::Decimals => "a decimal point has digits on both sides, and there is one at most",
            Self::NoUnit => "it has no unit",
            Self::Order => "the longest unit comes first, and each once",
            Self::TooFine => "it is finer than a nanosecond",
            Self::TooLong => "it is longer than 36500 days",
        };
        ParseError::new(Form::Period, input, problem)
    }
}

impl FromStr for Period {
    type Err = ParseError;

    fn from_str(input: &str) -> Result<Self, ParseError> {
        let text = trimmed(Form::Period, input)?;
        let nanos = nanoseconds(text).map_err(|wrong| wrong.error(input))?;
        let seconds = u64::try_from(nanos / NANOS).unwrap_or(u64::MAX);
        let sum = Duration::new(seconds, (nanos % NANOS) as u32);
        if sum > LONGEST { Err(Wrong::TooLong.error(input)) } else { Ok(Self(sum)) }
    }
}

/// What numbers with units add up to.
fn nanoseconds(text: &str) -> Result<u128, Wrong> {
    let mut rest = text;
    let mut sum = 0_u128;
    let mut next = 0; // the first unit that may still come
    while !rest.is_empty() {
        let number = leading(rest, |c| c.is_ascii_digit() || c == '.');
        rest = rest[number.len()..].trim_start();
        let unit = leading(rest, char::is_alphabetic);
        rest = rest[unit.len()..].trim_start();
        if number.is_empty() {
            return Err(Wrong::NoNumber);
        }
        if unit.is_empty() {
            return Err(Wrong::NoUnit);
        }
        let place = UNITS
            .iter()
            .position(|(names, _)| names.contains(&unit))
            .ok_or_else(|| Wrong::UnknownUnit(shown(unit, 16)))?;
        if place < next {
            return Err(Wrong::Order);
        }
        next = place + 1;
        // Each is less than 2^114, and there are eight at most.
        sum += times(number, UNITS[place].1)?;
    }
    Ok(sum)
}

/// The start of a text whose characters are of one kind.
fn leading(text: &str, kind: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !kind(c)).unwrap_or(text.len())]
}

/// So many of that unit, in nanoseconds.
fn times(number: &str, unit: u128) -> Result<u128, Wrong> {
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !whole.is_empty() && !fraction.is_empty() => (whole, fraction),
        None => (number, ""),
        Some(_) => return Err(Wrong::Decimals),
    };
    if fraction.contains('.') {
        return Err(Wrong::Decimals);
    }
    // Only an overflow can fail here: they are digits.
    let whole: u64 = whole.parse().map_err(|_| Wrong::TooLong)?;
    let whole = u128::from(whole) * unit; // less than 2^64 * 2^50

    let fraction = fraction.trim_end_matches('0');
    // A week is 2^16 * 5^11 * 189 ns: a longer fraction that does not end in 0 never divides it.
    if fraction.len() > 16 {
        return Err(Wrong::TooFine);
    }
    let mut part = 0_u128;
    let mut scale = 1_u128;
    for digit in fraction.bytes() {
        part = part * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    let part = part * unit; // less than 10^16 * 2^50
    if part.is_multiple_of(scale) { Ok(whole + part / scale) } else { Err(Wrong::TooFine) }
}

impl TryFrom<Duration> for Period {
    type Error = ParseError;

    fn try_from(duration: Duration) -> Result<Self, ParseError> {
        if duration > LONGEST {
            return Err(Wrong::TooLong.error(&format!("{}s", duration.as_secs())));
        }
        Ok(Self(duration))
    }
}

/// In the units of its size: `1d12h`, `1h30m`, `1.5s`, `250ms`; it can be read back.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.subsec_nanos();
        let mut seconds = self.0.as_secs();
        if seconds == 0 {
            return match nanos {
                0 => f.write_str("0s"),
                1..1_000 => write!(f, "{nanos}ns"),
                1_000..1_000_000 => decimal(f, u64::from(nanos / 1_000), nanos % 1_000, 3, "us"),
                _ => decimal(f, u64::from(nanos / 1_000_000), nanos % 1_000_000, 6, "ms"),
            };
        }
        for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
            if seconds >= size {
                write!(f, "{}{unit}", seconds / size)?;
                seconds %= size;
            }
        }
        if seconds > 0 || nanos > 0 { decimal(f, seconds, nanos, 9, "s") } else { Ok(()) }
    }
}

/// `whole.fraction` and the unit, the fraction of so many digits without the zeros at its end.
fn decimal(
    f: &mut fmt::Formatter<'_>,
    whole: u64,
    fraction: u32,
    digits: usize,
    unit: &str,
) -> fmt::Result {
    if fraction == 0 {
        return write!(f, "{whole}{unit}");
    }
    let fraction = format!("{fraction:0digits$}");
    write!(f, "{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Period({self})")
    }
}

string_forms!(Period, "a period, like \"90s\"");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Duration> {
        text.parse().ok().map(Period::as_duration)
    }

    #[test]
    fn what_is_a_period() {
        for (text, expected) in [
            ("0s", Duration::ZERO),
            ("0.000h", Duration::ZERO),
            ("90s", Duration::from_secs(90)),
            ("1.5h", Duration::from_secs(5_400)),
            ("2d", Duration::from_secs(172_800)),
            ("1w", Duration::from_secs(604_800)),
            ("5m", Duration::from_secs(300)),
            ("5min", Duration::from_secs(300)),
            ("250ms", Duration::from_millis(250)),
            ("7us", Duration::from_micros(7)),
            ("7µs", Duration::from_micros(7)),
            ("7μs", Duration::from_micros(7)),
            ("7ns", Duration::from_nanos(7)),
            ("1h30m", Duration::from_secs(5_400)),
            ("1w1d1h1m1s1ms1us1ns", Duration::new(694_861, 1_001_001)),
            ("1.5h30m", Duration::from_secs(7_200)),
            (" 1 h 30 m ", Duration::from_secs(5_400)),
            ("0.1s", Duration::from_millis(100)),
            ("0.000000001s", Duration::from_nanos(1)),
            ("1.100000000000000000000000000000000000000000s", Duration::from_millis(1_100)),
            ("0.0000152587890625w", Duration::new(9, 228_515_625)),
            ("000000000000000000000000000000000000000000001s", Duration::from_secs(1)),
            ("36500d", LONGEST),
            ("36499d24h", LONGEST),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            " ",
            "10",
            "s",
            "-5s",
            "+5s",
            "NaN",
            "inf",
            "infs",
            "1e3s",
            "1_000s",
            "1,5s",
            "1.s",
            ".5s",
            "1..5s",
            "1.5.5s",
            ".s",
            "5S",
            "5H",
            "5 minutes",
            "5x",
            "1h30",
            "30m1h",
            "1h1h",
            "1m1min",
            "1h -5m",
            "1h,5m",
            "0x1s",
            "٣s",
            "1s\0",
            "∞s",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn nothing_overflows() {
        for text in [
            "36500d1ns",
            "36500.1d",
            "36501d",
            "5214.3w",
            "18446744073709551615w",
            "18446744073709551615ns18446744073709551615ns",
            "18446744073709551616ns",
            "18446744073709551615w18446744073709551615d18446744073709551615h18446744073709551615m",
            "99999999999999999999999999999999999999999999999999999999999999999999999999999s",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        for nanos in ["0.1ns", "1.0000000001s", "0.00000152587890625w", "0.33333333333333333333h"] {
            let said = nanos.parse::<Period>().expect_err("not exact").to_string();
            assert!(said.contains("it is finer than a nanosecond. "), "{said}");
        }
        assert_eq!(Period::try_from(LONGEST).map(Period::as_duration), Ok(LONGEST));
        let longer = Period::try_from(LONGEST + Duration::from_nanos(1)).expect_err("too long");
        assert!(longer.to_string().contains("it is longer than 36500 days. "));
        assert!(Period::try_from(Duration::MAX).is_err());
    }

    #[test]
    fn the_error_says_what_is_wrong() {
        for (text, problem) in [
            ("10", "it has no unit"),
            ("1h30", "it has no unit"),
            ("-5s", "where a number should stand there is none, and no sign may stand"),
            ("1e3s", "there is no unit \"e\""),
            ("5 minutes", "there is no unit \"minutes\""),
            ("30m1h", "the longest unit comes first, and each once"),
            (".5s", "a decimal point has digits on both sides, and there is one at most"),
            ("40000d", "it is longer than 36500 days"),
        ] {
            let said = text.parse::<Period>().expect_err("not one").to_string();
            let expected = format!("\"{text}\" is not a period: {problem}. Write it like \"90s\"");
            assert!(said.starts_with(&expected), "{said}");
        }
    }

    #[test]
    fn how_it_is_written() {
        for (seconds, nanos, expected) in [
            (0, 0, "0s"),
            (0, 1, "1ns"),
            (0, 999, "999ns"),
            (0, 1_500, "1.5us"),
            (0, 250_000_000, "250ms"),
            (0, 1_000_001, "1.000001ms"),
            (1, 0, "1s"),
            (1, 500_000_000, "1.5s"),
            (60, 1, "1m0.000000001s"),
            (5_400, 0, "1h30m"),
            (86_400, 0, "1d"),
            (90_061, 0, "1d1h1m1s"),
        ] {
            assert_eq!(Period(Duration::new(seconds, nanos)).to_string(), expected);
        }
        assert_eq!(Period(LONGEST).to_string(), "36500d");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "([0-9.]{1,24} ?(w|d|h|m|s|ms|µs|ns|x)? ?){1,4}") {
            for text in [text, near] {
                if let Ok(period) = text.parse::<Period>() {
                    prop_assert_eq!(period.to_string().parse(), Ok(period));
                }
            }
        }

        #[test]
        fn every_period_comes_back(
            seconds in prop_oneof![0..100_u64, 0..LONGEST.as_secs()],
            nanos in prop_oneof![Just(0), 0..1_000_u32, 0..1_000_000_u32, 0..1_000_000_000_u32],
        ) {
            let period = Period::try_from(Duration::new(seconds, nanos)).expect("not too long");
            prop_assert_eq!(period.to_string().parse(), Ok(period));
            prop_assert_eq!(format!("{}.{:09}s", seconds, nanos).parse(), Ok(period));
        }
    }
}
