//! What a process of the daemon does.

use std::collections::BTreeSet;
use std::str::FromStr;

/// One thing that a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Answers browsers and programs.
    Api,
    /// Publishes workflow files and makes runs by schedules.
    Scheduler,
    /// Carries out attempts.
    Worker,
}

/// What a process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Everything.
    pub fn all() -> Self {
        Self(BTreeSet::from([Role::Api, Role::Scheduler, Role::Worker]))
    }

    /// Nothing but the API.
    pub fn api() -> Self {
        Self(BTreeSet::from([Role::Api]))
    }

    /// Whether this is among them.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let roles = text
            .split(',')
            .map(|name| match name.trim() {
                "api" => Ok(Role::Api),
                "scheduler" => Ok(Role::Scheduler),
                "worker" => Ok(Role::Worker),
                other => Err(format!("`{other}` is no role: api, scheduler, worker")),
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        Ok(Self(roles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_and_unknown_ones_named() {
        assert_eq!("api, worker,scheduler".parse::<Roles>().unwrap(), Roles::all());
        assert_eq!("api".parse::<Roles>().unwrap(), Roles::api());
        assert!("api,king".parse::<Roles>().unwrap_err().contains("`king`"));
        assert!("".parse::<Roles>().is_err());
    }
}
