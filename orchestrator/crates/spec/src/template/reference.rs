//! Walks a template's syntax tree: what it reads from the context, and what it uses that does not exist.

use std::ops::Range;

use minijinja::machinery::{Span, ast};

use super::environment::{FILTERS, FUNCTIONS, TESTS, has_filter, has_function, has_test};
use super::error::{TemplateError, TemplateErrorKind};
use crate::suggest::nearest;

/// A chain such as `tasks.collect.output.regions["europe"]` that starts at a name of the context.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The first name.
    pub root: String,
    /// Byte range of the first name.
    pub root_range: Range<usize>,
    /// The steps after it.
    pub steps: Vec<Step>,
    /// Byte range of the whole chain.
    pub range: Range<usize>,
    /// Whether `default(…)` or `is defined` stands right behind it, so that a missing value is no error.
    pub guarded: bool,
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which way it goes.
    pub kind: StepKind,
    /// Byte range of the step with its dot or brackets.
    pub range: Range<usize>,
}

/// Which way a step goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// `.name` or `["name"]`.
    Key(String),
    /// `[0]`, `[-1]`.
    Index(i64),
    /// `[expression]` or a slice: known only when it runs.
    Dynamic,
}

/// What a walk found.
pub(super) struct Found {
    pub(super) references: Vec<Reference>,
    pub(super) problems: Vec<TemplateError>,
    /// Index of the reference that is the only expression of the template.
    pub(super) sole: Option<usize>,
}

/// Walks a parsed template.
pub(super) fn walk(tree: &ast::Stmt<'_>, source: &str) -> Found {
    let mut walker = Walker { source, locals: Vec::new(), references: Vec::new(), problems: Vec::new() };
    walker.stmt(tree);
    let sole = match (only_expression(tree), walker.references.as_slice()) {
        (Some(ast::Expr::Var(_) | ast::Expr::GetAttr(_) | ast::Expr::GetItem(_)), [_]) => Some(0),
        _ => None,
    };
    Found { references: walker.references, problems: walker.problems, sole }
}

fn only_expression<'t, 's>(tree: &'t ast::Stmt<'s>) -> Option<&'t ast::Expr<'s>> {
    let ast::Stmt::Template(template) = tree else { return None };
    let mut found = None;
    for child in &template.children {
        if let ast::Stmt::EmitExpr(emit) = child {
            if found.is_some() {
                return None;
            }
            found = Some(&emit.expr);
        }
    }
    found
}

fn range_of(span: Span) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

struct Walker<'s> {
    source: &'s str,
    locals: Vec<String>,
    references: Vec<Reference>,
    problems: Vec<TemplateError>,
}

impl Walker<'_> {
    fn scoped(&mut self, walk: impl FnOnce(&mut Self)) {
        let depth = self.locals.len();
        walk(self);
        self.locals.truncate(depth);
    }

    fn body(&mut self, statements: &[ast::Stmt<'_>]) {
        for statement in statements {
            self.stmt(statement);
        }
    }

    fn stmt(&mut self, statement: &ast::Stmt<'_>) {
        match statement {
            ast::Stmt::Template(template) => self.body(&template.children),
            ast::Stmt::EmitExpr(emit) => self.expr(&emit.expr),
            ast::Stmt::EmitRaw(_) | ast::Stmt::Continue(_) | ast::Stmt::Break(_) => {}
            ast::Stmt::ForLoop(each) => {
                self.expr(&each.iter);
                self.scoped(|walker| {
                    walker.bind(&each.target);
                    walker.locals.push("loop".to_owned());
                    each.filter_expr.iter().for_each(|filter| walker.expr(filter));
                    walker.body(&each.body);
                });
                self.scoped(|walker| walker.body(&each.else_body));
            }
            ast::Stmt::IfCond(condition) => {
                self.expr(&condition.expr);
                self.body(&condition.true_body);
                self.body(&condition.false_body);
            }
            ast::Stmt::WithBlock(with) => self.scoped(|walker| {
                for (target, value) in &with.assignments {
                    walker.expr(value);
                    walker.bind(target);
                }
                walker.body(&with.body);
            }),
            ast::Stmt::Set(set) => {
                self.expr(&set.expr);
                self.bind(&set.target);
            }
            ast::Stmt::SetBlock(set) => {
                set.filter.iter().for_each(|filter| self.expr(filter));
                self.scoped(|walker| walker.body(&set.body));
                self.bind(&set.target);
            }
            ast::Stmt::AutoEscape(escape) => self.forbid(escape.span(), "autoescape"),
            ast::Stmt::FilterBlock(block) => {
                self.expr(&block.filter);
                self.scoped(|walker| walker.body(&block.body));
            }
            ast::Stmt::Block(block) => self.forbid(block.span(), "block"),
            ast::Stmt::Import(import) => self.forbid(import.span(), "import"),
            ast::Stmt::FromImport(import) => self.forbid(import.span(), "from … import"),
            ast::Stmt::Extends(extends) => self.forbid(extends.span(), "extends"),
            ast::Stmt::Include(include) => self.forbid(include.span(), "include"),
            ast::Stmt::Macro(declared) => {
                self.locals.push(declared.name.to_owned());
                self.declare(declared);
            }
            ast::Stmt::CallBlock(call) => {
                self.call(&call.call, call.call.span());
                self.declare(&call.macro_decl);
            }
            ast::Stmt::Do(call) => self.call(&call.call, call.call.span()),
        }
    }

    fn declare(&mut self, declared: &ast::Macro<'_>) {
        declared.defaults.iter().for_each(|default| self.expr(default));
        self.scoped(|walker| {
            declared.args.iter().for_each(|argument| walker.bind(argument));
            walker.locals.extend(["caller".to_owned(), "varargs".to_owned(), "kwargs".to_owned()]);
            walker.body(&declared.body);
        });
    }

    fn forbid(&mut self, span: Span, name: &str) {
        let error = TemplateError::new(
            TemplateErrorKind::Forbidden,
            format!("`{{% {name} %}}` is not available: a value is one self-contained template"),
            Some(range_of(span)),
        );
        self.problems.push(error);
    }

    fn bind(&mut self, target: &ast::Expr<'_>) {
        match target {
            ast::Expr::Var(name) => self.locals.push(name.id.to_owned()),
            ast::Expr::List(list) => list.items.iter().for_each(|item| self.bind(item)),
            ast::Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item)),
            other => self.expr(other),
        }
    }

    fn expr(&mut self, expression: &ast::Expr<'_>) {
        self.guarded(expression, false);
    }

    fn guarded(&mut self, expression: &ast::Expr<'_>, guarded: bool) {
        match expression {
            ast::Expr::Const(_) => {}
            ast::Expr::Var(_) | ast::Expr::GetAttr(_) | ast::Expr::GetItem(_) => self.chain(expression, guarded),
            ast::Expr::Slice(slice) => {
                self.expr(&slice.expr);
                [&slice.start, &slice.stop, &slice.step].into_iter().flatten().for_each(|part| self.expr(part));
            }
            ast::Expr::UnaryOp(operation) => self.expr(&operation.expr),
            ast::Expr::BinOp(operation) => {
                self.expr(&operation.left);
                self.expr(&operation.right);
            }
            ast::Expr::Compare(compare) => {
                self.expr(&compare.expr);
                compare.ops.iter().for_each(|operand| self.expr(&operand.expr));
            }
            ast::Expr::IfExpr(condition) => {
                self.expr(&condition.test_expr);
                self.expr(&condition.true_expr);
                condition.false_expr.iter().for_each(|otherwise| self.expr(otherwise));
            }
            ast::Expr::Filter(filter) => {
                if !has_filter(filter.name) {
                    self.unknown("filter", filter.name, filter.span(), FILTERS);
                }
                let guarded = matches!(filter.name, "default" | "d");
                filter.expr.iter().for_each(|input| self.guarded(input, guarded));
                self.arguments(&filter.args);
            }
            ast::Expr::Test(test) => {
                if !has_test(test.name) {
                    self.unknown("test", test.name, test.span(), TESTS);
                }
                self.guarded(&test.expr, matches!(test.name, "defined" | "undefined"));
                self.arguments(&test.args);
            }
            ast::Expr::Call(call) => self.call(call, call.span()),
            ast::Expr::List(list) => list.items.iter().for_each(|item| self.expr(item)),
            ast::Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expr(item)),
            ast::Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|item| self.expr(item)),
        }
    }

    fn call(&mut self, call: &ast::Call<'_>, span: Span) {
        match call.identify_call() {
            ast::CallType::Function(name) => {
                if !has_function(name) && !self.locals.iter().any(|local| local == name) {
                    self.unknown("function", name, span, FUNCTIONS);
                }
            }
            ast::CallType::Method(receiver, name) => {
                let local = matches!(receiver, ast::Expr::Var(var) if self.locals.iter().any(|local| local == var.id));
                if !local {
                    let error = TemplateError::new(
                        TemplateErrorKind::Unknown,
                        format!("values have no methods, so `.{name}(…)` cannot be called"),
                        Some(range_of(span)),
                    );
                    self.problems.push(error.hint("use a filter: `value | upper`, `value | replace('a', 'b')`"));
                }
                self.expr(receiver);
            }
            ast::CallType::Block(_) => self.forbid(span, "block"),
            ast::CallType::Object(object) => self.expr(object),
        }
        self.arguments(&call.args);
    }

    fn arguments(&mut self, arguments: &[ast::CallArg<'_>]) {
        for argument in arguments {
            match argument {
                ast::CallArg::Pos(value)
                | ast::CallArg::Kwarg(_, value)
                | ast::CallArg::PosSplat(value)
                | ast::CallArg::KwargSplat(value) => self.expr(value),
            }
        }
    }

    /// A chain of attribute and item look-ups, outermost first.
    fn chain(&mut self, expression: &ast::Expr<'_>, guarded: bool) {
        let mut steps = Vec::new();
        let mut at = expression;
        loop {
            match at {
                ast::Expr::GetAttr(get) => {
                    let start = get.expr.span().end_offset as usize;
                    steps.push(Step {
                        kind: StepKind::Key(get.name.to_owned()),
                        range: start..range_of(get.span()).end,
                    });
                    at = &get.expr;
                }
                ast::Expr::GetItem(get) => {
                    let start = get.expr.span().end_offset as usize;
                    let kind = self.subscript(&get.subscript_expr);
                    steps.push(Step { kind, range: start..range_of(get.span()).end });
                    at = &get.expr;
                }
                ast::Expr::Var(var) => {
                    if !self.locals.iter().any(|local| local == var.id) {
                        steps.reverse();
                        self.references.push(Reference {
                            root: var.id.to_owned(),
                            root_range: range_of(var.span()),
                            steps,
                            // The span of an item look-up begins at its bracket, so the chain's begins at its root.
                            range: range_of(var.span()).start..range_of(expression.span()).end,
                            guarded,
                        });
                    }
                    return;
                }
                ast::Expr::Const(constant) if constant.value.as_str().is_some() => {
                    let range = range_of(constant.span()).start..range_of(expression.span()).end;
                    let error = TemplateError::new(TemplateErrorKind::Unknown, "a text has no fields", Some(range));
                    return self.problems.push(error.hint("use a filter"));
                }
                other => return self.expr(other),
            }
        }
    }

    fn subscript(&mut self, subscript: &ast::Expr<'_>) -> StepKind {
        let constant = match subscript {
            ast::Expr::UnaryOp(operation) if matches!(operation.op, ast::UnaryOpKind::Neg) => {
                operation.expr.as_const().and_then(|value| value.as_i64()).map(|number| StepKind::Index(-number))
            }
            other => other.as_const().and_then(|value| match (value.as_str(), value.as_i64()) {
                (Some(key), _) => Some(StepKind::Key(key.to_owned())),
                (None, Some(index)) => Some(StepKind::Index(index)),
                (None, None) => None,
            }),
        };
        constant.unwrap_or_else(|| {
            self.expr(subscript);
            StepKind::Dynamic
        })
    }

    fn unknown(&mut self, what: &str, name: &str, span: Span, known: &[&str]) {
        let whole = range_of(span);
        // The span covers the input too; the name stands last.
        let range = self
            .source
            .get(whole.clone())
            .and_then(|text| text.rfind(name))
            .map_or(whole.clone(), |at| whole.start + at..whole.start + at + name.len());
        let error = TemplateError::new(TemplateErrorKind::Unknown, format!("there is no {what} `{name}`"), Some(range))
            .hint(format!("there are: {}", known.join(", ")))
            .suggest(nearest(name, known.iter().copied()));
        self.problems.push(error);
    }
}
