import { useQuery } from "@tanstack/react-query";
import { App, Button, Checkbox, Form, InputNumber, Radio, Select, Skeleton } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Redactor, RequestLogRule, RequestLogRuleSet } from "../../api/schema";
import { Equivalent, type Same } from "../../parts/Equivalent";
import { ProblemView } from "../../parts/Feedback";
import { Panel } from "../../parts/Page";
import { Time } from "../../parts/Time";
import { useAction } from "../../queries/action";
import { deleteRequestLog, requestLogQuery, setRequestLog } from "../../queries/requests";
import { useMay } from "../../queries/session";

const REDACTORS: Redactor[] = ["secrets", "emails", "phone_numbers", "credit_cards", "chinese_ids", "ip_addresses"];
const KIB = 1024;

interface Values {
  bodies: RequestLogRule["bodies"];
  percent: number;
  redact: Redactor[];
  patterns: string[];
  kib: number;
  days: number;
}

/** What a project keeps of its requests beyond their facts, and for how long. */
export function RequestLogTab({ project }: { project: string }) {
  const rule = useQuery(requestLogQuery(project));
  if (rule.error && !rule.data) return <ProblemView error={rule.error} retry={() => void rule.refetch()} />;
  return rule.data ? <RuleForm key={rule.data.set_at ?? ""} rule={rule.data} /> : <Skeleton active />;
}

function RuleForm({ rule }: { rule: RequestLogRule }) {
  const { t } = useTranslation();
  const writes = useMay()("project:write", rule.project);
  const [form] = Form.useForm<Values>();
  const written = Form.useWatch((values: Values) => values, form);
  const { message } = App.useApp();
  const set = useAction((values: Values) => setRequestLog(rule.project, bodyOf(values)), ["project", "event"], { form, names: { max_body_bytes: "kib", retention_days: "days", share: "percent" }, onDone: () => void message.success(t("requests.saved")) });
  const initial: Values = { bodies: rule.bodies, percent: Number((rule.share * 100).toPrecision(12)), redact: rule.redact, patterns: rule.patterns, kib: rule.max_body_bytes / KIB, days: rule.retention_days };
  const number = { required: true, message: t("form.required") };
  return (
    <Panel title={t("requests.rule")} extra={<Link to={`/platform/requests?project=${rule.project}`}>{t("nav.requests")}</Link>}>
      <p className="quiet" style={{ marginTop: 0 }}>{t("requests.ruleText")}</p>
      <Form<Values> form={form} layout="vertical" disabled={!writes} initialValues={initial} onFinish={(values) => set.mutate(values)} style={{ maxWidth: 640 }}>
        <Form.Item name="bodies" label={t("requests.which")}>
          <Radio.Group options={(["off", "errors", "all"] as const).map((value) => ({ value, label: t(`requests.bodies.${value}`) }))} />
        </Form.Item>
        <Form.Item name="redact" label={t("requests.redact")}>
          <Checkbox.Group options={REDACTORS.map((value) => ({ value, label: t(`requests.redactor.${value}`), disabled: value === "secrets" || !writes }))} />
        </Form.Item>
        <Form.Item name="patterns" label={t("requests.patterns")} extra={t("requests.patternsHint")}>
          <Select mode="tags" open={false} suffixIcon={null} maxCount={10} tokenSeparators={["\n"]} />
        </Form.Item>
        <div className="pair">
          <Form.Item name="percent" label={t("requests.share")} rules={[number]}><InputNumber min={0} max={100} step={0.1} suffix="%" style={{ width: "100%" }} /></Form.Item>
          <Form.Item name="kib" label={t("requests.size")} rules={[number]}><InputNumber min={0.25} max={512} suffix="KiB" style={{ width: "100%" }} /></Form.Item>
        </div>
        <Form.Item name="days" label={t("requests.days")} rules={[number]}><InputNumber min={1} max={365} precision={0} style={{ width: "100%" }} /></Form.Item>
        {writes && <div className="row wrap"><Button type="primary" htmlType="submit" loading={set.isPending}>{t("action.save")}</Button>{rule.set_at && <Forget project={rule.project} />}</div>}
      </Form>
      {rule.set_at && <p className="small quiet">{t("requests.setBy", { name: rule.set_by ?? "–" })} <Time at={rule.set_at} /></p>}
      {writes && <Equivalent same={sameAs(rule.project, { ...initial, ...written })} />}
    </Panel>
  );
}

function Forget({ project }: { project: string }) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const forget = useAction(() => deleteRequestLog(project), ["project", "request", "event"]);
  const ask = () => void modal.confirm({ title: t("requests.forgetTitle", { name: project }), content: t("requests.forgetText"), okText: t("action.delete"), okButtonProps: { danger: true }, cancelText: t("action.cancel"), onOk: () => forget.mutateAsync(undefined) });
  return <Button danger loading={forget.isPending} onClick={ask}>{t("requests.forget")}</Button>;
}

function bodyOf(values: Values): RequestLogRuleSet {
  return { bodies: values.bodies, share: values.percent / 100, redact: values.redact, patterns: values.patterns, max_body_bytes: Math.round(values.kib * KIB), retention_days: values.days };
}

function sameAs(project: string, values: Values): Same {
  const body = bodyOf(values);
  const redact = values.redact.flatMap((name) => ["--redact", name]);
  const patterns = values.patterns.flatMap((pattern) => ["--pattern", pattern]);
  const sizes = ["--share", String(body.share), "--max-body-bytes", String(body.max_body_bytes), "--retention-days", String(body.retention_days)];
  return { command: ["aicp", "request-log", "set", project, "--bodies", values.bodies, ...redact, ...patterns, ...sizes], method: "PUT", path: `/api/v1/projects/${project}/request-log`, body };
}
