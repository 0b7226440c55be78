//! A week of a small shop's back office, in milliseconds: jobs with conditions on other jobs, on
//! the clock and the calendar, under a clock that is moved by hand.
//!
//! `cargo run --example conditions`

use std::time::{Duration, SystemTime};

use executor_engine::ManualClock;
use executor_engine::condition::{
    Timepoint, after_another, after_delay, after_weekday, before_timepoint, between_clock,
    between_weekday,
};
use executor_engine::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Monday morning, in Berlin.
    let monday: Timepoint = "2026-11-23T08:00[Europe/Berlin]".parse()?;
    let clock = ManualClock::new(monday.as_system_time());
    let engine = Engine::builder().clock(&clock).time_zone("Europe/Berlin").build()?;

    // A job that says when it ran.
    let job = |name: &'static str| {
        let clock = clock.clone();
        let say = move || -> SystemTime {
            println!("{}  {name}", hours_after(monday, clock.now()));
            clock.now()
        };
        ThreadJob::new(say, ()).name(name)
    };

    let orders = job("the week's orders are closed").condition(after_weekday("Friday"));
    let orders = engine.submit(orders)?;
    let backup = job("a backup is made at night")
        .condition(after_another(&orders).done() & between_clock("22:00", "06:00"));
    let backup = engine.submit(backup)?;
    let report = job("the report is written on the weekend")
        .condition(after_another(&backup).done() & between_weekday("Sat", "Sun"));
    let report = engine.submit(report)?;
    let refund =
        ThreadJob::try_new(|| Err::<(), _>("the bank is closed"), ()).condition(after_delay("36h"));
    let refund = engine.submit(refund)?;
    let letter =
        engine.submit(job("a letter of regret").condition(after_another(&refund).failed()))?;
    let too_late =
        engine.submit(job("a discount that ends before the orders are closed").condition(
            after_another(&orders) & before_timepoint("2026-11-26T00:00[Europe/Berlin]"),
        ))?;

    println!("{}\n", backup.explain());
    clock.run_for(7 * 24 * HOUR)?;

    println!("\n{}", too_late.explain());
    let (orders, backup) = (orders.result()?, backup.result()?);
    assert_eq!(orders.duration_since(monday.as_system_time())?, 88 * HOUR); // Friday, 0:00
    assert_eq!(backup, orders); // it is night already
    assert_eq!(report.result()?.duration_since(backup)?, 24 * HOUR); // Saturday, 0:00
    assert_eq!(letter.result()?.duration_since(monday.as_system_time())?, 36 * HOUR);
    assert!(too_late.result().unwrap_err().is_cancelled());
    Ok(())
}

fn hours_after(start: Timepoint, now: SystemTime) -> String {
    let hours = now.duration_since(start.as_system_time()).map_or(0, |time| time.as_secs() / 3600);
    format!("after {hours:>3} hours:")
}
