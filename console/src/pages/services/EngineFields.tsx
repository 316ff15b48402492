import { MinusCircleOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Form, Input, InputNumber, Select, Switch } from "antd";
import { useTranslation } from "react-i18next";
import type { EngineFlag, EngineInfo } from "../../api/schema";
import { localized } from "../../app/sentences";
import { enginesQuery } from "../../queries/nodes";
import { startOf, type PublishValues } from "./spec";

/** Custom mode: the engine, its version and the parameters that are allowed for it. */
export function EngineFields({ values }: { values: PublishValues }) {
  const { t } = useTranslation();
  const form = Form.useFormInstance<PublishValues>();
  const { data } = useQuery(enginesQuery);
  const engines = data?.items.filter((engine) => !engine.internal) ?? [];
  const engine = engines.find((item) => item.name === values.engine);
  return (
    <>
      <div className="grid2" style={{ rowGap: 0 }}>
        <Form.Item name="engine" label={t("services.engine")}>
          <Select allowClear placeholder={t("publish.automatic")} options={engines.map((item) => ({ value: item.name, label: item.title }))} onChange={() => form.setFieldsValue({ engine_version: undefined, flags: [] })} />
        </Form.Item>
        <Form.Item name="engine_version" label={t("publish.engineVersion")}>
          <Select allowClear placeholder={t("publish.automatic")} disabled={!engine} options={engine?.versions.map((version) => ({ value: version, label: version }))} />
        </Form.Item>
      </div>
      <Form.List name="flags">
        {(rows, { add, remove }) => (
          <Form.Item label={t("publish.flags")} extra={engine ? t("publish.flagsHint") : t("publish.flagsEngine")}>
            <div className="stack">
              {rows.map((row) => (
                <FlagRow key={row.key} at={row.name} engine={engine} chosen={values.flags?.[row.name]?.name} onRemove={() => remove(row.name)} />
              ))}
              <Button type="dashed" icon={<PlusOutlined />} disabled={!engine} onClick={() => add({})}>{t("publish.flagAdd")}</Button>
            </div>
          </Form.Item>
        )}
      </Form.List>
    </>
  );
}

function FlagRow({ at, engine, chosen, onRemove }: { at: number; engine?: EngineInfo; chosen?: string; onRemove: () => void }) {
  const { t } = useTranslation();
  const form = Form.useFormInstance<PublishValues>();
  const flag = engine?.flags.find((item) => item.name === chosen);
  const choose = (name: string) => form.setFieldValue(["flags", at, "value"], startOf(engine?.flags.find((item) => item.name === name)));
  return (
    <div className="row top">
      <Form.Item noStyle name={[at, "name"]}>
        <Select showSearch style={{ flex: 2 }} aria-label={t("publish.flag")} placeholder={t("publish.flag")} onChange={choose} options={engine?.flags.map((item) => ({ value: item.name, label: item.name, title: localized(item.description) }))} />
      </Form.Item>
      <div style={{ flex: 1 }}>
        <Form.Item style={{ marginBottom: 0 }} name={[at, "value"]} valuePropName={flag?.type === "bool" ? "checked" : "value"}>
          <FlagValue flag={flag} />
        </Form.Item>
        {flag && <div className="small quiet">{localized(flag.description)}</div>}
      </div>
      <Button type="text" icon={<MinusCircleOutlined />} aria-label={t("action.remove")} onClick={onRemove} />
    </div>
  );
}

function FlagValue({ flag, ...control }: { flag?: EngineFlag }) {
  const { t } = useTranslation();
  if (flag?.type === "bool") return <Switch {...control} aria-label={flag.name} />;
  if (flag?.type === "int" || flag?.type === "float") {
    return <InputNumber {...control} style={{ width: "100%" }} aria-label={t("publish.flagValue")} min={flag.minimum ?? undefined} max={flag.maximum ?? undefined} precision={flag.type === "int" ? 0 : undefined} />;
  }
  if (flag?.choices.length) return <Select {...control} style={{ width: "100%" }} aria-label={t("publish.flagValue")} options={flag.choices.map((value) => ({ value, label: value }))} />;
  return <Input {...control} aria-label={t("publish.flagValue")} />;
}
