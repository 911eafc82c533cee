//! ClickHouse's SQL as text: names and texts in quotes, statements told apart. Pure.

/// A name as it stands in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Names, each in quotes, with commas.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// A text as it stands in SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// One statement of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// Its text, without the semicolon and the comments before it.
    pub sql: String,
    /// The line that it begins on, from 1.
    pub line: usize,
}

impl Statement {
    /// Its first words that are no comments, in lower case.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut plain = String::new();
        for token in Tokens(&self.sql) {
            match token {
                Token::Code(code) => plain.push_str(code),
                Token::Comment(_) => plain.push(' '),
                Token::Quoted(_) => plain.push_str(" ? "),
            }
        }
        plain
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '?'))
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase)
            .collect()
    }
}

impl Statement {
    /// Whether it can be done again without harm if nobody knows whether it was done.
    pub(crate) fn repeatable(&self) -> bool {
        let words = self.words();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let says = |phrase: &[&str]| words.windows(phrase.len()).any(|window| window == phrase);
        match words.first().copied() {
            Some("create") => says(&["if", "not", "exists"]) || words.get(1..3) == Some(&["or", "replace"]),
            Some("drop") => says(&["if", "exists"]),
            Some("alter") => {
                says(&["if", "not", "exists"]) || says(&["if", "exists"]) || says(&["modify"]) || says(&["delete"])
            }
            Some(
                "select" | "with" | "show" | "describe" | "desc" | "explain" | "exists" | "check" | "delete"
                | "optimize" | "grant" | "revoke" | "truncate",
            ) => true,
            Some(_) | None => false,
        }
    }
}

/// Statements between semicolons that stand outside of texts, names, comments and dollar quotes.
pub(crate) fn statements(sql: &str) -> Vec<Statement> {
    let mut found = Vec::new();
    let (mut text, mut line, mut started) = (String::new(), 1, None);
    for token in Tokens(sql) {
        let part = match token {
            Token::Code(";") => {
                if let Some(line) = started.take() {
                    found.push(Statement { sql: text.trim_end().to_owned(), line });
                }
                text.clear();
                continue;
            }
            Token::Code(part) | Token::Quoted(part) => {
                if started.is_none() && !part.trim().is_empty() {
                    started = Some(line);
                }
                part
            }
            Token::Comment(part) => part,
        };
        if started.is_some() {
            text.push_str(part);
        }
        line += part.matches('\n').count();
    }
    if let Some(line) = started {
        found.push(Statement { sql: text.trim_end().to_owned(), line });
    }
    found
}

/// A piece of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// One character that is neither.
    Code(&'a str),
    /// A text, a name in quotes, or a dollar quote.
    Quoted(&'a str),
    /// A comment.
    Comment(&'a str),
}

/// The pieces of a text, in order; together they are the text.
pub(crate) struct Tokens<'a>(pub &'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.0;
        let first = rest.chars().next()?;
        let to_line_end = || rest.find('\n').unwrap_or(rest.len());
        let (length, of): (usize, fn(&'a str) -> Token<'a>) = match first {
            '\'' | '"' | '`' => (closed(rest, first), Token::Quoted),
            '-' if rest.starts_with("--") => (to_line_end(), Token::Comment),
            '#' if rest.starts_with("#!") || rest.starts_with("# ") => (to_line_end(), Token::Comment),
            '/' if rest.starts_with("/*") => (rest[2..].find("*/").map_or(rest.len(), |at| at + 4), Token::Comment),
            '$' => match dollar_quote(rest) {
                Some(length) => (length, Token::Quoted),
                None => (1, Token::Code),
            },
            other => (other.len_utf8(), Token::Code),
        };
        let (token, after) = rest.split_at(length);
        self.0 = after;
        Some(of(token))
    }
}

/// Length up to the quote that closes; one that is not closed takes the rest. A doubled quote begins the next piece, which is
/// the same.
fn closed(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// `$tag$ … $tag$`.
fn dollar_quote(rest: &str) -> Option<usize> {
    let tag_end = rest[1..].find('$')? + 2;
    let (tag, after) = rest.split_at(tag_end);
    let named = tag[1..tag_end - 1].chars().all(|c| c.is_alphanumeric() || c == '_');
    if !named {
        return None;
    }
    after.find(tag).map(|at| tag_end + at + tag_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(list(["a", "b`c\\"]), "`a`, `b\\`c\\\\`");
        assert_eq!(literal("it's \\"), "'it\\'s \\\\'");
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_texts_and_comments() {
        let sql = "-- first; of all\n\ncreate table a (x String default ';'); /* b; */\n select ';\\';' as `q;`, \
                   $h$ x; $h$ ;;\n# c;\ninsert into a values ('a''b;c')";
        let found = statements(sql);
        let shown: Vec<_> = found.iter().map(|statement| (statement.sql.as_str(), statement.line)).collect();
        assert_eq!(
            shown,
            [
                ("create table a (x String default ';')", 3),
                ("select ';\\';' as `q;`, $h$ x; $h$", 4),
                ("insert into a values ('a''b;c')", 6),
            ]
        );
        for empty in ["", " ;\n; ", "-- only\n/* comments */"] {
            assert_eq!(statements(empty), []);
        }
        assert_eq!(statements("select 'open; ")[0].sql, "select 'open;");
        assert_eq!(statements("select $1; select 2").len(), 2);
        assert_eq!(statements("Create /* x */ Table `a` if").first().unwrap().words(), ["create", "table", "?", "if"]);
    }

    #[test]
    fn what_can_be_repeated_is_told_by_its_words() {
        for (sql, expected) in [
            ("create table if not exists a (x Int8)", true),
            ("create table a (x String default 'if not exists')", false),
            ("create or replace view a as select 1", true),
            ("drop table a", false),
            ("DROP TABLE IF EXISTS a", true),
            ("alter table a add column if not exists b Int8", true),
            ("alter table a update x = x + 1 where 1", false),
            ("alter table a modify ttl x", true),
            ("insert into a select 1", false),
            ("-- c\nselect 1", true),
        ] {
            assert_eq!(statements(sql)[0].repeatable(), expected, "{sql}");
        }
    }
}
