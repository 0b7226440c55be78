//! [`Zone`]: where the clock on the wall hangs.

use std::borrow::Cow;
use std::fmt;

use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::parse::{Form, ParseError, trimmed};

/// A time zone; cloning it costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// The zone this machine is set to (`TZ`, else `/etc/localtime`); UTC if it is set to none.
    pub(crate) fn system() -> Self {
        Self(TimeZone::system())
    }

    /// The zone of that name in the IANA database: the machine's, or else the one in the program.
    ///
    /// # Errors
    /// If neither has one of that name.
    pub(crate) fn named(name: &str) -> Result<Self, ParseError> {
        let text = trimmed(Form::Zone, name)?;
        let found = TimeZone::get(text).or_else(|_| TimeZoneDatabase::bundled().get(text));
        match found {
            // There is a name for not knowing the zone, which is UTC then.
            Ok(zone) if !zone.is_unknown() => Ok(Self(zone)),
            _ => Err(ParseError::new(Form::Zone, name, "there is none of that name")),
        }
    }

    /// Coordinated universal time.
    pub(crate) const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// What it is called: `Europe/Berlin`; or its rule, if it has no name.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        if let Some(name) = self.0.iana_name() {
            return Cow::Borrowed(name);
        }
        if self.0.is_unknown() {
            return Cow::Borrowed("UTC");
        }
        DateTimePrinter::new()
            .time_zone_to_string(&self.0)
            .map_or(Cow::Borrowed("the system's time zone"), Cow::Owned)
    }

    /// A zone of those rules.
    #[cfg(test)]
    pub(super) const fn of(rules: TimeZone) -> Self {
        Self(rules)
    }

    /// The rules of the zone.
    pub(super) const fn rules(&self) -> &TimeZone {
        &self.0
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_by_name() {
        let berlin = Zone::named("Europe/Berlin").expect("there is one");
        assert_eq!(berlin.name(), "Europe/Berlin");
        assert_eq!(Zone::named(" europe/BERLIN "), Ok(berlin.clone()));
        assert_ne!(berlin, Zone::utc());
        assert_eq!(Zone::named("UTC"), Ok(Zone::utc()));
        assert_eq!(Zone::utc().to_string(), "UTC");
        // A name that many machines have no more.
        assert!(Zone::named("US/Pacific").is_ok());
    }

    #[test]
    fn what_is_no_zone() {
        for name in ["", " ", "Berlin", "Europe/Atlantis", "CEST-1", "Etc/Unknown", "../UTC", "\0"]
        {
            let said = Zone::named(name).expect_err("none").to_string();
            assert!(said.contains(" is not a time zone: "), "{said}");
            assert!(said.ends_with("which looks like \"Europe/Berlin\", or \"UTC\""), "{said}");
        }
        assert!(Zone::named(&"A".repeat(5_000_000)).is_err());
    }

    #[test]
    fn a_zone_without_a_name_is_called_by_its_rule() {
        let rule = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(Zone(TimeZone::posix(rule).expect("a rule")).name(), rule);
        assert_eq!(Zone(TimeZone::unknown()).name(), "UTC");
        assert!(!Zone::system().name().is_empty());
    }
}
