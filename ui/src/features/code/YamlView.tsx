import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { lintGutter, setDiagnostics } from "@codemirror/lint";
import { EditorState, type Text } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import type { Diagnostic } from "../../api/types";

const look = EditorView.theme({
  "&": {
    color: "var(--c-ink)",
    backgroundColor: "var(--c-surface)",
    fontSize: "12px",
    height: "100%",
  },
  ".cm-scroller": { fontFamily: "var(--font-mono)", lineHeight: "20px", overflow: "auto" },
  ".cm-gutters": { color: "var(--c-ink-3)", backgroundColor: "var(--c-surface)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 8px 0 16px" },
  "&.cm-focused": { outline: "2px solid var(--c-focus)", outlineOffset: "-2px" },
  ".cm-tooltip": {
    color: "var(--c-ink)",
    backgroundColor: "var(--c-surface)",
    border: "1px solid var(--c-line-strong)",
  },
  ".cm-selectionBackground, &.cm-focused .cm-selectionBackground": {
    backgroundColor: "var(--c-run-soft) !important",
  },
});

/** Keys in ink and bold, values lighter: structure by weight, colours stay with the states. */
const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], fontWeight: "600" },
  { tag: [tags.string, tags.content], color: "var(--c-ink-2)" },
  { tag: tags.comment, color: "var(--c-ink-3)", fontStyle: "italic" },
  { tag: [tags.punctuation, tags.separator], color: "var(--c-ink-3)" },
]);

function at(doc: Text, line: number, column: number): number {
  const row = doc.line(Math.max(1, Math.min(doc.lines, line)));
  return Math.min(row.to, row.from + Math.max(0, column - 1));
}

interface Props {
  source: string;
  diagnostics: readonly Diagnostic[];
  /** Scrolls to this line, from 1. */
  line: number | undefined;
}

/**
 * The file, read-only, with its diagnostics. It lives in a shadow root: there CodeMirror's styles are adopted
 * sheets, which the page's policy allows, and not injected elements, which it forbids.
 */
export function YamlView({ source, diagnostics, line }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<EditorView>(null);

  useEffect(() => {
    const box = host.current;
    if (!box) return;
    const root = box.shadowRoot ?? box.attachShadow({ mode: "open" });
    const view = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: source,
        extensions: [
          lineNumbers(),
          yaml(),
          syntaxHighlighting(colours),
          lintGutter(),
          look,
          EditorState.readOnly.of(true),
          EditorView.contentAttributes.of({ "aria-label": "Workflow file", tabindex: "0" }),
        ],
      }),
    });
    const marks = diagnostics.map((each) => {
      const from = at(view.state.doc, each.line, each.column);
      const to = at(view.state.doc, each.end_line ?? each.line, each.end_column ?? each.column + 1);
      return {
        from,
        to: Math.max(from, to),
        severity: each.severity,
        message: `${each.code}: ${each.message}${each.hint ? `; ${each.hint}` : ""}`,
      };
    });
    view.dispatch(setDiagnostics(view.state, marks));
    editor.current = view;
    return () => view.destroy();
  }, [source, diagnostics]);

  useEffect(() => {
    const view = editor.current;
    if (!view || !line) return;
    const place = at(view.state.doc, line, 1);
    view.dispatch({
      selection: { anchor: place },
      effects: EditorView.scrollIntoView(place, { y: "center" }),
    });
  }, [line]);

  return <div ref={host} className="h-full min-h-80" data-testid="yaml" />;
}
