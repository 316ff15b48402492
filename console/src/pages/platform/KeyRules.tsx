import { Form, InputNumber, Select } from "antd";
import { useTranslation } from "react-i18next";
import type { Priority } from "../../api/schema";
import { useMay } from "../../queries/session";
import { PARAMETERS } from "./keyValues";

const PRIORITIES: Priority[] = ["critical", "interactive", "default", "batch"];
const RAISED: Priority[] = ["critical", "interactive"];
const BOUNDS = { temperature: [0, 2, 0.1], top_p: [0.01, 1, 0.05], top_k: [-1, undefined, 1], frequency_penalty: [-2, 2, 0.1], presence_penalty: [-2, 2, 0.1], seed: [0, undefined, 1] } as const;

/** Who is served first, from where, and what a key's requests get where they say nothing. */
export function KeyRules() {
  const { t } = useTranslation();
  const raises = useMay()("key:write", "*");
  return (
    <>
      <div className="pair">
        <Form.Item name="priority" label={t("keys.priority")} extra={raises ? undefined : t("keys.priorityHint")}>
          <Select options={PRIORITIES.map((value) => ({ value, label: t(`keys.priorities.${value}`), disabled: !raises && RAISED.includes(value) }))} />
        </Form.Item>
        <Form.Item name="weight" label={t("keys.weight")} extra={t("keys.weightHint")}><InputNumber min={0.01} max={raises ? 1000 : 1} style={{ width: "100%" }} placeholder="1" /></Form.Item>
      </div>
      <Form.Item name="networks" label={t("keys.networks")} extra={t("keys.networksHint")}><Select mode="tags" open={false} suffixIcon={null} tokenSeparators={[",", " "]} placeholder={t("keys.anyNetwork")} /></Form.Item>
      <Form.Item name="max_output_tokens" label={t("keys.maxOutput")} extra={t("keys.maxOutputHint")}><InputNumber min={1} precision={0} style={{ width: "100%" }} placeholder={t("limits.none")} /></Form.Item>
      <p className="small quiet">{t("keys.defaultsHint")}</p>
      <div className="pair">
        {PARAMETERS.map((name) => {
          const [min, max, step] = BOUNDS[name];
          return <Form.Item key={name} name={["defaults", name]} label={<span className="mono">{name}</span>}><InputNumber min={min} max={max} step={step} precision={step === 1 ? 0 : undefined} style={{ width: "100%" }} placeholder={t("keys.engineOwn")} /></Form.Item>;
        })}
      </div>
    </>
  );
}
