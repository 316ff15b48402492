import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { ModelVersion } from "../../api/schema";
import { Panel } from "../../parts/Page";
import { modelsQuery } from "../../queries/models";
import { servicesQuery } from "../../queries/services";
import { useMay } from "../../queries/session";
import { lineageOf, type Origin } from "./lineage";

const [WIDTH, HEIGHT, GAP_X, GAP_Y] = [190, 46, 40, 12];
/** On a narrow page the graph shrinks as far as it stays readable, then it scrolls. */
const SMALLEST = 0.72;
/** More boxes than these say nothing more; the tab *Where it runs* has them all. */
const MOST_ROWS = 6;

/** Where a version came from and what uses it, as a small graph. */
export function Lineage({ version }: { version: ModelVersion }) {
  const { t } = useTranslation();
  const may = useMay();
  const models = useQuery(modelsQuery());
  const services = useQuery({ ...servicesQuery(), enabled: may("service:read") });
  const columns = lineageOf(version, models.data?.items ?? [], services.data?.items ?? []);
  const shown = columns.map((column) => column.slice(0, MOST_ROWS));
  const left = columns.reduce((sum, column) => sum + Math.max(0, column.length - MOST_ROWS), 0);
  const rows = Math.max(...shown.map((column) => column.length));
  const height = rows * (HEIGHT + GAP_Y) - GAP_Y;
  const width = shown.length * (WIDTH + GAP_X) - GAP_X;
  const x = (column: number) => column * (WIDTH + GAP_X);
  const y = (column: number, row: number) => (height - ((shown[column]?.length ?? 0) * (HEIGHT + GAP_Y) - GAP_Y)) / 2 + row * (HEIGHT + GAP_Y);
  return (
    <Panel title={t("lineage.title")}>
      <div style={{ overflowX: "auto" }} tabIndex={0} role="group" aria-label={t("lineage.title")}>
        <svg viewBox={`0 0 ${width} ${height}`} width={width} style={{ display: "block", maxWidth: "100%", minWidth: width * SMALLEST }}>
          {shown.slice(1).flatMap((column, index) =>
            (shown[index] ?? []).flatMap((_, from) =>
              column.map((__, to) => <path key={`${index}-${from}-${to}`} d={edge(x(index) + WIDTH, y(index, from) + HEIGHT / 2, x(index + 1), y(index + 1, to) + HEIGHT / 2)} fill="none" stroke="var(--ant-color-border)" strokeWidth={1.5} />),
            ),
          )}
          {shown.flatMap((column, index) =>
            column.map((origin, row) => (
              <foreignObject key={`${origin.kind}-${origin.label}`} x={x(index)} y={y(index, row)} width={WIDTH} height={HEIGHT}>
                <Box origin={origin} />
              </foreignObject>
            )),
          )}
        </svg>
      </div>
      {left > 0 && <div className="small quiet" style={{ marginTop: 8 }}>{t("lineage.more", { count: left })}</div>}
    </Panel>
  );
}

function Box({ origin }: { origin: Origin }) {
  const { t } = useTranslation();
  return (
    <div className={`origin ${origin.kind}`} title={origin.label}>
      <div className="small quiet">{t(`lineage.${origin.kind}`)}</div>
      <div className="clip">{origin.to ? <Link to={origin.to}>{origin.label}</Link> : origin.label}</div>
    </div>
  );
}

function edge(fromX: number, fromY: number, toX: number, toY: number): string {
  const middle = (fromX + toX) / 2;
  return `M${fromX},${fromY} C${middle},${fromY} ${middle},${toY} ${toX},${toY}`;
}
