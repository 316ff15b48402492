import { chartColors } from "../app/theme";
import { useSettings } from "../app/settings";

interface Part {
  label: string;
  value: number;
}

/** Parts of a whole, drawn to scale. */
export function Meter({ parts, total, label }: { parts: Part[]; total: number; label: string }) {
  const { theme } = useSettings();
  const colors = chartColors(theme);
  return (
    <div className="meter" role="img" aria-label={label}>
      {parts.map((part, index) => (
        <span key={part.label} title={part.label} style={{ width: `${Math.min(100, (part.value / Math.max(total, 1)) * 100)}%`, background: colors[index % colors.length] }} />
      ))}
    </div>
  );
}
