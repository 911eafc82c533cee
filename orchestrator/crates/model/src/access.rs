//! Roles and what each may do: one table, read by the API, the command line and the documentation.

use serde::{Deserialize, Serialize};

/// What a person or token is. Each role may do what the one before it may, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Starts, stops and repairs runs.
    Operator,
    /// Changes what runs and what it connects to.
    Editor,
    /// Decides who may do what.
    Admin,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: &'static [Self] = &[Self::Viewer, Self::Operator, Self::Editor, Self::Admin];

    /// The one spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Editor => "editor",
            Self::Admin => "admin",
        }
    }

    /// Reads the one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.name() == text)
    }

    /// Whether this role may do that.
    pub fn allows(self, permission: Permission) -> bool {
        self >= permission.needs()
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One thing that may be allowed. Its name is also the scope of an API token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Workflows, runs, schedules, connections without their secrets, status.
    Read,
    /// Logs and outputs of tasks.
    ReadLogs,
    /// Start runs.
    Run,
    /// Cancel, retry, mark, repair, pause, write notes.
    Control,
    /// Publish workflow versions.
    Publish,
    /// Write and delete connections.
    Connections,
    /// Let the server connect to where a connection points.
    TestConnections,
    /// Make, list and revoke one's own API tokens.
    OwnTokens,
    /// Tokens of others.
    Tokens,
    /// Users and their roles.
    Users,
    /// Read and verify the audit log.
    Audit,
}

impl Permission {
    /// Every permission, in the order of the documentation.
    pub const ALL: &'static [Self] = &[
        Self::Read,
        Self::ReadLogs,
        Self::OwnTokens,
        Self::Run,
        Self::Control,
        Self::Publish,
        Self::Connections,
        Self::TestConnections,
        Self::Tokens,
        Self::Users,
        Self::Audit,
    ];

    /// The least role that has it.
    pub const fn needs(self) -> Role {
        match self {
            Self::Read | Self::ReadLogs | Self::OwnTokens => Role::Viewer,
            Self::Run | Self::Control => Role::Operator,
            Self::Publish | Self::Connections | Self::TestConnections => Role::Editor,
            Self::Tokens | Self::Users | Self::Audit => Role::Admin,
        }
    }

    /// The one spelling, also as a token's scope.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadLogs => "read_logs",
            Self::Run => "run",
            Self::Control => "control",
            Self::Publish => "publish",
            Self::Connections => "connections",
            Self::TestConnections => "test_connections",
            Self::OwnTokens => "own_tokens",
            Self::Tokens => "tokens",
            Self::Users => "users",
            Self::Audit => "audit",
        }
    }

    /// Reads the one spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.name() == text)
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.name()), Some(*role));
        }
        for permission in Permission::ALL {
            assert_eq!(Permission::parse(permission.name()), Some(*permission));
        }
        assert_eq!((Role::parse("Admin"), Permission::parse("*")), (None, None));
    }

    /// The table of docs/security.md, row by row.
    #[test]
    fn the_table_of_roles_is_the_documented_one() {
        let may = |role: Role| {
            let names = Permission::ALL.iter().filter(|permission| role.allows(**permission)).map(|p| p.name());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(may(Role::Viewer), "read read_logs own_tokens");
        assert_eq!(may(Role::Operator), "read read_logs own_tokens run control");
        assert_eq!(may(Role::Editor), "read read_logs own_tokens run control publish connections test_connections");
        assert_eq!(
            may(Role::Admin),
            "read read_logs own_tokens run control publish connections test_connections tokens users audit"
        );
    }
}
