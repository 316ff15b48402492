import { useTranslation } from "react-i18next";
import { Sparkline } from "../../parts/Sparkline";

interface Props {
  label: string;
  value: string;
  total?: string;
  unit?: string;
  points: readonly (readonly number[])[];
}

/** One figure with the shape of its last 24 hours. */
export function FigureCard({ label, value, total, unit, points }: Props) {
  const { t } = useTranslation();
  return (
    <div className="panel figure">
      <div className="label">{label}</div>
      <div className="value num">
        {value}
        {unit && <small>{unit}</small>}
        {total && <small> / {total}</small>}
      </div>
      <Sparkline points={points} label={t("overview.lastDay", { label })} />
    </div>
  );
}
