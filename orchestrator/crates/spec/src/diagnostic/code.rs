//! The table of codes. Each code has a page `docs/errors/Wnnn.md`; a code is never used again for something else.

use std::fmt;

use super::Severity;

macro_rules! codes {
    ($($name:ident $severity:ident $title:literal)*) => {
        /// Which rule a file breaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        /// All codes, in order.
        pub const CODES: &[Code] = &[$(Code::$name),*];

        impl Code {
            /// Such as `W201`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// What the rule is about, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// How bad breaking it is.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity),* }
            }
        }
    };
}

codes! {
    W001 Error "not valid YAML"
    W002 Error "not UTF-8 text"
    W003 Error "empty file"
    W004 Error "more than one document"
    W005 Error "too large or too deep"
    W006 Error "duplicate key"
    W007 Error "key that is not a string"
    W008 Error "alias that leads nowhere"
    W009 Error "YAML tag"
    W010 Error "template without quotes"
    W011 Error "number that cannot be held"
    W012 Error "too many mistakes"
    W101 Error "unknown key"
    W102 Error "key of another product"
    W103 Error "known, not in this version"
    W104 Error "two spellings of one key"
    W105 Error "missing key"
    W106 Error "wrong type"
    W107 Error "unknown value"
    W108 Error "number out of range"
    W109 Error "bad name"
    W110 Error "bad duration"
    W111 Error "bad instant"
    W112 Error "settings that contradict each other"
    W201 Error "duplicate task"
    W202 Error "unknown dependency"
    W203 Error "task that depends on itself"
    W204 Error "cycle"
    W205 Error "task that can never run"
    W206 Error "no tasks"
    W207 Error "too many tasks"
    W208 Warning "dependency named twice"
    W209 Error "workflow defined twice"
    W301 Error "bad cron pattern"
    W302 Error "unknown time zone"
    W303 Error "schedule that never fires"
    W304 Warning "setting without effect"
    W401 Error "template syntax"
    W402 Error "unknown filter, test or function"
    W403 Error "unknown name in a template"
    W404 Error "reference to an unknown task"
    W405 Error "reference to a task that is not upstream"
    W406 Error "field that the value does not have"
    W407 Error "reference of the wrong type"
    W408 Error "unknown param or var"
    W409 Error "template where none is evaluated"
    W501 Error "unknown task type"
    W502 Error "parameter that does not fit"
    W503 Error "unknown parameter"
    W504 Error "missing parameter"
    W505 Error "unknown connection"
    W506 Error "connection of the wrong kind"
    W507 Error "missing connection"
    W508 Error "connection that is not used"
    W509 Warning "unknown error class"
    W601 Error "bad params schema"
    W602 Error "default that does not fit its schema"
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
