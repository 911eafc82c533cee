import { useId } from "react";
import { Button } from "../../ui/Button";
import { Input } from "../../ui/Field";
import { toast } from "../../ui/notes";

/** A secret that is shown this once, with a way to copy it. */
export function Once({ what, value, about }: { what: string; value: string; about: string }) {
  const id = useId();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      toast("Copied.");
    } catch {
      toast("The browser does not allow copying here; select the text instead.", "bad");
    }
  };
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="font-medium">
        {what}
      </label>
      <div className="flex gap-2">
        <Input
          id={id}
          readOnly
          value={value}
          onFocus={(event) => event.target.select()}
          className="font-mono text-xs"
        />
        <Button icon="copy" onClick={() => void copy()}>
          Copy
        </Button>
      </div>
      <p className="text-ink-2 text-xs">{about}</p>
    </div>
  );
}
