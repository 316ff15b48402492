import { useQuery } from "@tanstack/react-query";
import { Progress } from "antd";
import { useTranslation } from "react-i18next";
import type { LimitUse, UsedLimit } from "../../api/schema";
import { formatCount, formatMoney } from "../../parts/format";
import { limitUseQuery } from "../../queries/traffic";
import { isBudget, LIMITS } from "./limitValues";

const NEAR = 0.8;

/** How much of something is used, in words and as a bar that warns when little is left. */
export function UseBar({ title, share, words }: { title: string; share: number | null; words: string }) {
  const full = share ?? 0;
  return (
    <div>
      <div className="row spread small"><span>{title}</span><span className="num quiet">{words}</span></div>
      <Progress percent={Math.min(100, full * 100)} showInfo={false} size="small" aria-label={`${title}: ${words}`} strokeColor={full >= 1 ? "var(--ant-color-error)" : full >= NEAR ? "var(--ant-color-warning)" : undefined} />
    </div>
  );
}

/** Live use of all limits of one key. */
export function KeyUse({ id }: { id: string }) {
  const { t } = useTranslation();
  const { data } = useQuery(limitUseQuery([id]));
  const use = data?.items.find((item) => item.id === id);
  if (!use) return null;
  return (
    <div className="stack">
      <span className="strong">{t("keys.use")}</span>
      <div className="grid3">{use.limits.map((limit) => <LimitBar key={limit.limit} limit={limit} currency={data?.currency ?? ""} />)}</div>
      <span className="small quiet">{t("limits.reserved")}</span>
    </div>
  );
}

function LimitBar({ limit, currency }: { limit: UsedLimit; currency: string }) {
  const { t } = useTranslation();
  const show = (value: number) => (isBudget(limit.limit) ? formatMoney(value * 1e6, currency) : formatCount(value));
  const known = limit.used != null;
  const name = LIMITS.find((one) => one === limit.limit);
  return <UseBar title={name ? t(`limits.${name}`) : limit.limit} share={known ? (limit.used ?? 0) / limit.most : null} words={known ? t("limits.used", { used: show(limit.used ?? 0), most: show(limit.most) }) : t("limits.unknown")} />;
}

/** Of a key's limits the one that is used most: what its owner will meet first. */
export function TightestUse({ use, currency }: { use: LimitUse | undefined; currency: string }) {
  const limits = use?.limits ?? [];
  const share = (limit: UsedLimit) => (limit.used ?? 0) / limit.most;
  const tightest = limits.reduce<UsedLimit | undefined>((most, limit) => (!most || share(limit) > share(most) ? limit : most), undefined);
  return tightest ? <div style={{ minWidth: 170 }}><LimitBar limit={tightest} currency={currency} /></div> : <span className="quiet">–</span>;
}
