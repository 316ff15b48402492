import { useTranslation } from "react-i18next";
import type { Autoscale, Service } from "../../api/schema";
import { localized } from "../../app/sentences";
import { formatNumber } from "../../parts/format";
import { Panel } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { hoursOf } from "./scaling";

/** Between which numbers a service scales itself, where it is, and why. */
export function Scaling({ service, rule }: { service: Service; rule: Autoscale }) {
  const { t } = useTranslation();
  const { scale } = service;
  const targets = [
    rule.queued_per_replica && `${t("scaling.targetQueue")}: ${formatNumber(rule.queued_per_replica)}`,
    rule.running_per_replica && `${t("scaling.targetRunning")}: ${formatNumber(rule.running_per_replica)}`,
    rule.kv_percent && `${t("scaling.targetKv")}: ${formatNumber(rule.kv_percent)}`,
    rule.ttft_ms && `${t("scaling.targetTtft")}: ${formatNumber(rule.ttft_ms)}`,
  ].filter(Boolean);
  return (
    <Panel title={t("scaling.title")} flush>
      <dl className="lines">
        <div><dt>{t("scaling.wanted")}</dt><dd className="num">{scale ? t("scaling.wantedOf", { wanted: scale.wanted, min: scale.min_replicas, max: scale.max_replicas }) : "–"}</dd></div>
        <div><dt>{t("scaling.why")}</dt><dd>{scale ? <>{localized(scale.reason)} <span className="quiet"><Time at={scale.changed_at} /></span></> : "–"}</dd></div>
        <div><dt>{t("scaling.targets")}</dt><dd>{targets.length > 0 ? targets.join(" · ") : t("publish.automatic")}</dd></div>
        {rule.min_replicas === 0 && <div><dt>{t("scaling.wake")}</dt><dd className="num">{scale?.wake_seconds ? t("scaling.wakeText", { seconds: formatNumber(scale.wake_seconds), most: rule.max_wait_seconds ?? 120 }) : t("scaling.wakeUnknown", { most: rule.max_wait_seconds ?? 120 })}</dd></div>}
        {(rule.windows ?? []).map((window) => {
          const hours = hoursOf(window, (day) => t(`scaling.day.${day}`));
          return <div key={hours}><dt>{t("scaling.window")}</dt><dd className="num">{hours} · {window.min_replicas}–{window.max_replicas}</dd></div>;
        })}
      </dl>
    </Panel>
  );
}
