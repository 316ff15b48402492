import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Form, Input, InputNumber, Select, Switch } from "antd";
import { useTranslation } from "react-i18next";
import { DAYS, NEW_WINDOW } from "./scaling";

const TIME = /^([01]\d|2[0-3]):[0-5]\d$/;
const TARGETS = [["queued_per_replica", "targetQueue"], ["running_per_replica", "targetRunning"], ["kv_percent", "targetKv"], ["ttft_ms", "targetTtft"]] as const;
const TIMES = [["idle_seconds", "idle", 300], ["max_wait_seconds", "maxWait", 120], ["up_seconds", "up", 0], ["down_seconds", "down", 300]] as const;

/** Replicas as a number, or as bounds between which they follow the load. */
export function ScalingFields({ scales }: { scales: boolean }) {
  const { t } = useTranslation();
  return (
    <>
      <div className="grid2" style={{ rowGap: 0 }}>
        <Form.Item name="replicas" label={t("publish.replicas")} extra={t(scales ? "scaling.firstHint" : "publish.replicasHint")} rules={[{ required: true, message: t("form.required") }]}>
          <InputNumber min={0} max={1000} precision={0} style={{ width: 160 }} />
        </Form.Item>
        <Form.Item name="scales" valuePropName="checked" label={t("scaling.on")} extra={t("scaling.onHint")}>
          <Switch />
        </Form.Item>
      </div>
      {scales && (
        <>
          <div className="grid2" style={{ rowGap: 0 }}>
            <Form.Item name={["scaling", "min_replicas"]} label={t("scaling.min")} extra={t("scaling.minHint")}>
              <InputNumber min={0} max={1000} precision={0} style={{ width: "100%" }} />
            </Form.Item>
            <Form.Item name={["scaling", "max_replicas"]} label={t("scaling.max")} rules={[{ required: true, message: t("form.required") }]}>
              <InputNumber min={1} max={1000} precision={0} style={{ width: "100%" }} />
            </Form.Item>
            {TARGETS.map(([field, word]) => (
              <Form.Item key={field} name={["scaling", field]} label={t(`scaling.${word}`)} extra={field === "queued_per_replica" ? t("scaling.targetHint") : undefined}>
                <InputNumber min={0.1} style={{ width: "100%" }} placeholder={t("publish.automatic")} />
              </Form.Item>
            ))}
            {TIMES.map(([field, word, usual]) => (
              <Form.Item key={field} name={["scaling", field]} label={t(`scaling.${word}`)}>
                <InputNumber min={0} style={{ width: "100%" }} suffix="s" placeholder={String(usual)} />
              </Form.Item>
            ))}
          </div>
          <Windows />
        </>
      )}
    </>
  );
}

function Windows() {
  const { t } = useTranslation();
  return (
    <Form.List name={["scaling", "windows"]}>
      {(rows, { add, remove }) => (
        <Form.Item label={t("scaling.windows")} extra={t("scaling.windowsHint")}>
          {rows.map(({ key, name }) => (
            <div key={key} className="row wrap" style={{ alignItems: "start" }}>
              <Form.Item name={[name, "days"]} rules={[{ required: true, message: t("form.required") }]} style={{ minWidth: 220 }}>
                <Select mode="multiple" aria-label={t("scaling.days")} maxTagCount="responsive" options={DAYS.map((day) => ({ value: day, label: t(`scaling.day.${day}`) }))} />
              </Form.Item>
              {(["start", "end"] as const).map((field) => (
                <Form.Item key={field} name={[name, field]} rules={[{ required: true, pattern: TIME, message: "08:00" }]}>
                  <Input aria-label={t(`scaling.${field}`)} style={{ width: 80 }} placeholder="08:00" />
                </Form.Item>
              ))}
              <Form.Item name={[name, "time_zone"]}><Input aria-label={t("scaling.zone")} style={{ width: 150 }} placeholder="UTC" /></Form.Item>
              <Form.Item name={[name, "min_replicas"]}><InputNumber aria-label={t("scaling.min")} min={0} max={1000} precision={0} style={{ width: 70 }} /></Form.Item>
              <Form.Item name={[name, "max_replicas"]}><InputNumber aria-label={t("scaling.max")} min={1} max={1000} precision={0} style={{ width: 70 }} /></Form.Item>
              <Button type="text" icon={<DeleteOutlined />} aria-label={t("action.delete")} onClick={() => remove(name)} />
            </div>
          ))}
          <Button icon={<PlusOutlined />} onClick={() => add(NEW_WINDOW)}>{t("scaling.addWindow")}</Button>
        </Form.Item>
      )}
    </Form.List>
  );
}
