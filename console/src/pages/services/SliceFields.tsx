import { useQuery } from "@tanstack/react-query";
import { Form, InputNumber, Segmented, Select, Tag } from "antd";
import { useTranslation } from "react-i18next";
import type { PoolDevice } from "../../api/schema";
import { formatBytes } from "../../parts/format";
import { poolViewQuery } from "../../queries/pools";
import type { PublishValues } from "./spec";

/** Whole accelerators or a part of each; beside a part, what is free on every card of the pool now. */
export function SliceFields({ values }: { values: PublishValues }) {
  const { t } = useTranslation();
  const sliced = values.share === "slice";
  return (
    <>
      <Form.Item name="share" label={t("slice.share")}>
        <Segmented options={[{ value: "whole", label: t("slice.whole") }, { value: "slice", label: t("slice.part") }]} />
      </Form.Item>
      {sliced && (
        <>
          <div className="grid3" style={{ rowGap: 0 }}>
            <Form.Item name="slice_percent" label={t("slice.compute")} extra={t("slice.computeHint")} rules={[{ required: true, message: t("form.required") }]}>
              <InputNumber min={1} max={100} precision={0} style={{ width: "100%" }} suffix="%" />
            </Form.Item>
            <Form.Item name="slice_memory_gib" label={t("slice.memory")} extra={t("slice.memoryHint")}>
              <InputNumber min={0.25} step={0.25} style={{ width: "100%" }} suffix="GiB" placeholder={t("publish.automatic")} />
            </Form.Item>
            <Form.Item name="slice_policy" label={t("slice.policy")} extra={t(values.slice_policy === "weight" ? "slice.weightHint" : "slice.capHint")}>
              <Select options={[{ value: "cap", label: t("slice.cap") }, { value: "weight", label: t("slice.weight") }]} />
            </Form.Item>
          </div>
          <FreeParts pool={values.pool} />
        </>
      )}
    </>
  );
}

function FreeParts({ pool }: { pool: string }) {
  const { t } = useTranslation();
  const view = useQuery({ ...poolViewQuery(pool), enabled: Boolean(pool) });
  const devices = view.data?.nodes.flatMap((node) => node.devices.map((device) => ({ node: node.name, device }))) ?? [];
  if (!view.isSuccess) return null;
  return (
    <Form.Item label={t("slice.free")}>
      <div role="list" aria-label={t("slice.free")} tabIndex={0} style={{ maxHeight: 260, overflowY: "auto" }}>
        {devices.map(({ node, device }) => (
          <div key={`${node} ${device.device_id}`} role="listitem" className="row spread small" style={{ paddingBlock: 2 }}>
            <span>{node} · {device.vendor} {device.index} {device.product} {device.simulated && <Tag>{t("pools.simulated")}</Tag>}</span>
            <FreePart device={device} />
          </div>
        ))}
        {devices.length === 0 && <span className="quiet">{t("slice.none")}</span>}
      </div>
    </Form.Item>
  );
}

function FreePart({ device }: { device: PoolDevice }) {
  const { t } = useTranslation();
  const [way] = device.slicing ?? [];
  if (!way) return <span className="quiet">{t("slice.uncut")}</span>;
  const whole = device.shares?.some((share) => !share.mechanism && device.vendor !== "cpu");
  const free = whole ? 0 : device.free_compute_percent;
  return (
    <span className="row num">
      <meter min={0} max={100} value={free} aria-label={t("slice.freeOf", { percent: free, memory: formatBytes(device.free_memory_bytes) })} style={{ width: 80 }} />
      <span>{t("slice.freeOf", { percent: free, memory: formatBytes(whole ? 0 : device.free_memory_bytes) })}</span>
      <Tag>{way.mechanism}</Tag>
    </span>
  );
}
