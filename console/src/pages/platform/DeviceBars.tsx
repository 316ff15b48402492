import { Tag, Tooltip } from "antd";
import type { CSSProperties } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { HeldShare, PoolDevice } from "../../api/schema";
import { localized } from "../../app/sentences";
import { formatBytes, formatPercent } from "../../parts/format";
import { State } from "../../parts/State";
import { freeOf, givenRatio, heatOf, pieces, type Measure, type Piece } from "./deviceShares";

const MEASURES = ["compute", "memory"] as const;
const WIDE_ENOUGH = 14;

/** One accelerator: its compute and its memory as two bars with what replicas hold, to scale; colour says how busy. */
export function DeviceBars({ device }: { device: PoolDevice }) {
  const { t } = useTranslation();
  return (
    <div className={`slices ${device.health === "failed" ? "bad" : device.health === "degraded" ? "warn" : ""}`} style={{ "--heat": `${heatOf(device)}%` } as CSSProperties}>
      <div className="row spread small">
        <span><b>{device.vendor} {device.index}</b> {device.product} {device.simulated && <Tag>{t("pools.simulated")}</Tag>}</span>
        <span className="row">
          <span className="quiet num">{t("nodes.busy")} {formatPercent(device.utilization_percent == null ? null : device.utilization_percent / 100)}</span>
          <State state={device.health} reason={device.health_reason} />
        </span>
      </div>
      {MEASURES.map((measure) => <Bar key={measure} device={device} measure={measure} />)}
    </div>
  );
}

function Bar({ device, measure }: { device: PoolDevice; measure: Measure }) {
  const { t } = useTranslation();
  const name = t(measure === "compute" ? "pools.compute" : "nodes.memory");
  const given = formatPercent(givenRatio(device, measure));
  return (
    <div className="line">
      <span className="small quiet">{name}</span>
      <div className="bar" role="img" aria-label={t("pools.barLabel", { name: `${device.vendor} ${device.index} ${name}`, given, free: amountOf(freeOf(device, measure), measure) })}>
        {pieces(device, measure).map((piece) => <Stretch key={piece.key} piece={piece} measure={measure} />)}
      </div>
      <span className="small num quiet">{given}</span>
    </div>
  );
}

function Stretch({ piece, measure }: { piece: Piece; measure: Measure }) {
  const { t } = useTranslation();
  const amount = amountOf(piece.amount, measure);
  const text = piece.share ? (piece.share.service ?? t("pools.otherProject")) : t("pools.free", { amount });
  return (
    <Tooltip title={piece.share ? <ShareFacts share={piece.share} /> : text}>
      <span className={piece.share ? "held" : "free"} style={{ width: `${piece.width}%` }}>
        {piece.width >= WIDE_ENOUGH && <em className="clip">{piece.share ? `${text} ${amount}` : text}</em>}
      </span>
    </Tooltip>
  );
}

function ShareFacts({ share }: { share: HeldShare }) {
  const { t } = useTranslation();
  const facts = [
    share.service ? `${share.project} / ${share.service}` : t("pools.otherProject"),
    `${share.compute_percent} % · ${formatBytes(share.memory_bytes)}`,
    share.mechanism ? `${t("pools.mechanism")}: ${share.mechanism}${share.profile ? ` ${share.profile}` : ""}` : t("pools.whole"),
    share.mechanism && t(share.policy === "weight" ? "pools.policyWeight" : "pools.policyCap"),
    share.rounding && localized(share.rounding),
  ];
  return (
    <div>
      {facts.map((fact) => fact && <div key={fact}>{fact}</div>)}
      {share.service && share.replica && <Link to={`/services/${share.service}?tab=replicas`} style={{ color: "inherit", textDecoration: "underline" }}>{share.replica}</Link>}
    </div>
  );
}

const amountOf = (amount: number, measure: Measure) => (measure === "compute" ? `${amount} %` : formatBytes(amount));
