//! A schedule in words: `every day at 02:30 Europe/Berlin`.

use super::Schedule;
use super::fires::parse_cron;
use crate::span;

/// What a schedule says, for people.
pub fn words(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Cron { patterns, timezone, .. } => {
            let said: Vec<String> = patterns.iter().map(|pattern| cron(pattern)).collect();
            format!("{} {timezone}", list(&said))
        }
        Schedule::Every(every) => format!("every {}", span::format(*every)),
        Schedule::Dates(dates) => match dates.as_slice() {
            [] => "never".to_owned(),
            [only] => format!("once, at {only}"),
            [first, rest @ ..] => format!("at {first} and {} more fixed dates", rest.len()),
        },
        Schedule::Once => "once".to_owned(),
        Schedule::Continuous => "again as soon as the last run has ended".to_owned(),
    }
}

/// A schedule as people write it: the pattern, the preset, or the key and its value.
pub fn written(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Cron { patterns, .. } => patterns.join(" | "),
        Schedule::Every(every) => format!("every {}", span::format(*every)),
        Schedule::Dates(dates) => {
            let dates: Vec<String> = dates.iter().take(3).map(ToString::to_string).collect();
            format!("dates {}", dates.join(", "))
        }
        Schedule::Once => "@once".to_owned(),
        Schedule::Continuous => "@continuous".to_owned(),
    }
}

fn cron(pattern: &str) -> String {
    let plain = match pattern.trim().to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *".to_owned(),
        "@quarterly" => "0 0 1 */3 *".to_owned(),
        "@monthly" => "0 0 1 * *".to_owned(),
        "@weekly" => "0 0 * * 0".to_owned(),
        "@daily" => "0 0 * * *".to_owned(),
        "@hourly" => "0 * * * *".to_owned(),
        other => other.to_owned(),
    };
    let fields: Vec<&str> = plain.split_whitespace().collect();
    let said = match fields.as_slice() {
        [minute, hour, day, month, weekday] | ["0", minute, hour, day, month, weekday] => {
            times(minute, hour).and_then(|times| Some((times, days(day, month, weekday)?)))
        }
        ["*", "*", "*", day, month, weekday] => {
            days(day, month, weekday).map(|days| (Times::Often("every second".to_owned()), days))
        }
        [second, "*", "*", day, month, weekday] => step(second)
            .and_then(|step| Some((Times::Often(format!("every {step} seconds")), days(day, month, weekday)?))),
        _ => None,
    };
    match said {
        Some((Times::At(at), days)) => format!("{days} at {at}"),
        Some((Times::Often(often), days)) if days == "every day" => often,
        Some((Times::Often(often), days)) => format!("{often}, {days}"),
        None => parse_cron(pattern).map_or_else(|_| format!("`{pattern}`"), |cron| lower(&cron.describe())),
    }
}

enum Times {
    /// Times of the day.
    At(String),
    /// An interval.
    Often(String),
}

fn times(minute: &str, hour: &str) -> Option<Times> {
    if let (Some(minutes), Some(hours)) = (numbers(minute), numbers(hour)) {
        let all: Vec<String> =
            hours.iter().flat_map(|hour| minutes.iter().map(move |minute| format!("{hour:02}:{minute:02}"))).collect();
        return (all.len() <= 6).then(|| Times::At(list(&all)));
    }
    let often = match (minute, hour) {
        ("*", "*") => "every minute".to_owned(),
        ("0", "*") => "every hour".to_owned(),
        (minute, "*") => match (step(minute), numbers(minute).as_deref()) {
            (Some(step), _) => format!("every {step} minutes"),
            (None, Some([minute])) => format!("every hour at minute {minute}"),
            (None, Some(_) | None) => return None,
        },
        ("0", hour) => format!("every {} hours", step(hour)?),
        _ => return None,
    };
    Some(Times::Often(often))
}

fn days(day: &str, month: &str, weekday: &str) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    match (day, month, weekday) {
        ("*", "*", "*") => Some("every day".to_owned()),
        ("*", "*", "1-5" | "mon-fri") => Some("Monday to Friday".to_owned()),
        ("*", "*", days) => {
            let names: Vec<String> =
                days.split(',').map(|day| Some(format!("{}s", name_of_weekday(day)?))).collect::<Option<_>>()?;
            Some(list(&names))
        }
        ("l", "*", "*") => Some("on the last day of every month".to_owned()),
        (day, "*", "*") => {
            let days: Vec<String> = numbers(day)?.iter().map(u32::to_string).collect();
            Some(format!("on day {} of every month", list(&days)))
        }
        ("1", "*/3", "*") => Some("on the first day of every quarter".to_owned()),
        (day, month, "*") => {
            let (day, month): (u32, usize) = (day.parse().ok()?, month.parse().ok()?);
            let month = MONTHS.get(month.checked_sub(1)?)?;
            Some(format!("on {day} {month} of every year"))
        }
        _ => None,
    }
}

fn name_of_weekday(day: &str) -> Option<&'static str> {
    Some(match day {
        "0" | "7" | "sun" => "Sunday",
        "1" | "mon" => "Monday",
        "2" | "tue" => "Tuesday",
        "3" | "wed" => "Wednesday",
        "4" | "thu" => "Thursday",
        "5" | "fri" => "Friday",
        "6" | "sat" => "Saturday",
        _ => return None,
    })
}

/// A list of plain numbers.
fn numbers(field: &str) -> Option<Vec<u32>> {
    field.split(',').map(|number| number.parse().ok()).collect()
}

/// `n` of `*/n`.
fn step(field: &str) -> Option<u32> {
    field.strip_prefix("*/")?.parse().ok()
}

fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

fn lower(text: &str) -> String {
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
