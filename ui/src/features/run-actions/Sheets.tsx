import { useSheet } from "./sheet";

/** The action sheet that the URL asks for; rendered once, by the shell. */
export default function Sheets() {
  const { sheet, of } = useSheet();
  if (!sheet || !of) return null;
  return null;
}
