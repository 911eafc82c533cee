//! What the stand-in can be told to do wrong, and the queue of what is still to go wrong.
//!
//! This file knows names and order only; how a fault looks on the wire is `answer.rs`'s business.

use std::{collections::VecDeque, fmt, str::FromStr};

/// One way for the server to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A data call is answered 401 and the token it came with is no longer valid.
    Unauthorized,
    /// The token endpoint refuses the credentials with 401.
    TokenUnauthorized,
    /// 429 with a wait of hours, as when the day's credits are used up.
    TooManyRequests,
    /// 429 with a wait of seconds, as for a burst limit.
    TooManyRequestsShort,
    /// 502 with the HTML page of a proxy.
    BadGateway,
    /// 503 with the HTML page of a proxy.
    ServiceUnavailable,
    /// The right answer, but later than a client waits.
    Slow,
    /// JSON that ends in the middle, under the content length of what is sent.
    Broken,
    /// An HTML page under status 200.
    Html,
    /// The connection is closed halfway through the body.
    Drop,
    /// `"states": null` although there are aircraft.
    NoStates,
    /// Some rows have fewer than 17 elements.
    ShortRows,
    /// One aircraft stands in the answer twice.
    DuplicateRow,
    /// One row's `last_contact` is 2147483647.
    FutureContact,
}

/// The part of the server that a call goes to, as far as faults tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The token endpoint.
    Token,
    /// `/states/*`.
    States,
    /// `/flights/*` and `/tracks/*`.
    History,
}

impl Fault {
    /// Every fault, in the order in which help texts list them.
    pub const ALL: [Self; 14] = [
        Self::Unauthorized,
        Self::TokenUnauthorized,
        Self::TooManyRequests,
        Self::TooManyRequestsShort,
        Self::BadGateway,
        Self::ServiceUnavailable,
        Self::Slow,
        Self::Broken,
        Self::Html,
        Self::Drop,
        Self::NoStates,
        Self::ShortRows,
        Self::DuplicateRow,
        Self::FutureContact,
    ];

    /// The word used on the command line and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthorized => "401",
            Self::TokenUnauthorized => "token-401",
            Self::TooManyRequests => "429",
            Self::TooManyRequestsShort => "429-short",
            Self::BadGateway => "502",
            Self::ServiceUnavailable => "503",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::Html => "html",
            Self::Drop => "drop",
            Self::NoStates => "null",
            Self::ShortRows => "short",
            Self::DuplicateRow => "dup",
            Self::FutureContact => "future",
        }
    }

    /// Whether a call to `target` can show this fault.
    pub const fn applies_to(self, target: Target) -> bool {
        match self {
            Self::TokenUnauthorized => matches!(target, Target::Token),
            Self::NoStates | Self::ShortRows | Self::DuplicateRow | Self::FutureContact => {
                matches!(target, Target::States)
            }
            Self::Unauthorized
            | Self::TooManyRequests
            | Self::TooManyRequestsShort
            | Self::BadGateway
            | Self::ServiceUnavailable
            | Self::Slow
            | Self::Broken
            | Self::Html
            | Self::Drop => !matches!(target, Target::Token),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|fault| fault.name()).collect();
            format!("unknown kind of failure `{text}`; known are {}", known.join(" "))
        })
    }
}

/// A fault and how many calls show it: `KIND` or `KIND:N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedFault {
    /// What goes wrong.
    pub fault: Fault,
    /// For how many calls.
    pub calls: u32,
}

impl FromStr for PlannedFault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, calls) = match text.split_once(':') {
            None => (text, 1),
            Some((kind, n)) => {
                let calls = n.parse().map_err(|_| format!("`{n}` in `{text}` is not a number of calls"))?;
                (kind, calls)
            }
        };
        Ok(Self { fault: kind.parse()?, calls })
    }
}

/// The faults still to come, first in, first out for each target.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue(VecDeque<PlannedFault>);

impl FaultQueue {
    pub(crate) fn push(&mut self, planned: PlannedFault) {
        self.0.push_back(planned);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault that the next call to `target` shows, used up by asking.
    pub(crate) fn take(&mut self, target: Target) -> Option<Fault> {
        self.0.retain(|planned| planned.calls > 0);
        let next = self.0.iter_mut().find(|planned| planned.fault.applies_to(target))?;
        next.calls -= 1;
        Some(next.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_parsed_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>(), Ok(fault));
        }
        let error = "teapot".parse::<Fault>().unwrap_err();
        assert!(error.contains("`teapot`") && error.contains("token-401 429 429-short 502"), "{error}");
    }

    #[test]
    fn a_count_follows_the_kind() {
        assert_eq!("502:3".parse(), Ok(PlannedFault { fault: Fault::BadGateway, calls: 3 }));
        assert_eq!("drop".parse(), Ok(PlannedFault { fault: Fault::Drop, calls: 1 }));
        assert!("502:x".parse::<PlannedFault>().is_err());
    }

    #[test]
    fn faults_come_in_order_and_wait_for_a_call_that_can_show_them() {
        let mut queue = FaultQueue::default();
        for planned in ["502:2", "token-401", "null", "503"] {
            queue.push(planned.parse().unwrap());
        }
        assert_eq!(queue.take(Target::Token), Some(Fault::TokenUnauthorized));
        assert_eq!(queue.take(Target::Token), None);
        assert_eq!(queue.take(Target::States), Some(Fault::BadGateway));
        assert_eq!(queue.take(Target::History), Some(Fault::BadGateway));
        assert_eq!(queue.take(Target::History), Some(Fault::ServiceUnavailable), "null is for states only");
        assert_eq!(queue.take(Target::States), Some(Fault::NoStates));
        assert_eq!(queue.take(Target::States), None);
    }
}
