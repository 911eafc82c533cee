//! SQL as text: names in quotes, statements told apart, places of errors. Pure.

/// A name as it stands in SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names, each in quotes, with commas.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// Line of a character's position, both from 1.
pub(crate) fn line_at(sql: &str, position: usize) -> usize {
    1 + sql.chars().take(position.saturating_sub(1)).filter(|c| *c == '\n').count()
}

/// A statement that begins or ends a transaction, by its words, and its line; `None` if there is none.
pub(crate) fn transaction_control(sql: &str) -> Option<(String, usize)> {
    // The body of a function in standard SQL is cut into pieces here, the last of which is its `end`.
    let bodies = sql.to_ascii_lowercase().contains("begin atomic");
    pieces(sql).into_iter().find_map(|piece| {
        let mut words = piece.words.split(' ');
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let found = match first {
            "begin" => second != "atomic",
            "commit" | "rollback" | "abort" => true,
            "end" => !bodies,
            "start" | "prepare" => second == "transaction",
            _ => false,
        };
        let words = if matches!(first, "start" | "prepare") { format!("{first} {second}") } else { first.to_owned() };
        found.then_some((words, piece.line))
    })
}

/// A statement's first two words in lower case, and its line.
struct Piece {
    words: String,
    line: usize,
}

/// Statements between semicolons that stand outside of texts, names, comments and dollar quotes.
fn pieces(sql: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let (mut code, mut line, mut started) = (String::new(), 1, 1);
    let mut rest = sql;
    let mut close = |code: &mut String, started: usize| {
        let words: Vec<String> = code
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '\u{0}'))
            .filter(|word| !word.is_empty())
            .take(2)
            .map(str::to_ascii_lowercase)
            .collect();
        if !words.is_empty() {
            found.push(Piece { words: words.join(" "), line: started });
        }
        code.clear();
    };
    while let Some(next) = rest.chars().next() {
        let skipped = quote_len(rest, &code);
        let taken = skipped.unwrap_or(next.len_utf8());
        let (part, after) = rest.split_at(taken);
        if skipped.is_some() {
            // A text or a name is no keyword; a comment is a space.
            code.push(if part.starts_with("--") || part.starts_with("/*") { ' ' } else { '\u{0}' });
        } else if next == ';' {
            close(&mut code, started);
        } else {
            if code.trim().is_empty() && !next.is_whitespace() {
                started = line;
            }
            code.push(next);
        }
        line += part.matches('\n').count();
        rest = after;
    }
    close(&mut code, started);
    found
}

/// Length of the text, name, comment or dollar quote that begins here; `None` if none does. One that is not closed takes the
/// rest.
fn quote_len(rest: &str, before: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    match bytes.first()? {
        b'\'' => {
            let mut end = before.chars().rev();
            let escapes = end.next().is_some_and(|c| c == 'e' || c == 'E')
                && end.next().is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
            Some(closed(bytes, b'\'', escapes))
        }
        b'"' => Some(closed(bytes, b'"', false)),
        b'-' if rest.starts_with("--") => Some(rest.find('\n').unwrap_or(rest.len())),
        b'/' if rest.starts_with("/*") => Some(comment(bytes)),
        b'$' if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') => {
            let tag_end = rest[1..].find('$')? + 2;
            let tag = &rest[..tag_end];
            let inner = &tag[1..tag_end - 1];
            let named = inner.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !inner.starts_with(|c: char| c.is_ascii_digit());
            named.then(|| rest[tag_end..].find(tag).map_or(rest.len(), |at| tag_end + at + tag_end))
        }
        _ => None,
    }
}

fn closed(bytes: &[u8], quote: u8, escapes: bool) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        if escapes && *byte == b'\\' {
            at += 2;
        } else if *byte == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// Comments of this kind nest.
fn comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) | None => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_positions_become_lines() {
        assert_eq!(list(["a", "b\"c"]), "\"a\", \"b\"\"c\"");
        assert_eq!((line_at("a\nbä\nc", 1), line_at("a\nbä\nc", 4), line_at("a\nbä\nc", 6)), (1, 2, 3));
    }

    #[test]
    fn transactions_are_found_where_they_are_statements_and_nowhere_else() {
        for sql in [
            "create table a (\"commit\" int); -- commit;\n select 'x; commit; y'",
            "/* a /* ; commit */ ; rollback */ select 1",
            "create function f() returns int language plpgsql as $body$ begin; commit; return 1; end $body$",
            "do $$ begin commit; end $$",
            "create function f() returns int language sql begin atomic select 1; select 2; end;",
            "select E'a\\'; commit; --'",
            "select 'it''s; commit'",
            "select $1; select a$b$; ",
            "comment on table a is 'begin'; \"begin\"; 'end'",
            "select case when true then 1 end; prepare x as select 1",
            "select 'not closed; commit",
            "alter table a add column e int default 1; select 'a';",
        ] {
            assert_eq!(transaction_control(sql), None, "{sql}");
        }
        for (sql, words, line) in [
            ("select 1;\n\n  COMMIT ;", "commit", 3),
            ("begin; select 1", "begin", 1),
            ("select 1; /* x\n */ start\ttransaction", "start transaction", 2),
            ("select 1; end", "end", 1),
            ("rollback to savepoint a", "rollback", 1),
            ("prepare transaction 'x'", "prepare transaction", 1),
            ("select date'; '; abort", "abort", 1),
            ("select type'\\'; commit", "commit", 1),
        ] {
            assert_eq!(transaction_control(sql), Some((words.to_owned(), line)), "{sql}");
        }
    }
}
