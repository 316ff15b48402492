import { CodeOutlined, LoadingOutlined } from "@ant-design/icons";
import { Button, Modal, Skeleton, Tabs } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Plan, Preempted } from "../../api/schema";
import { Code, CodeTabs } from "../../parts/Code";
import { ProblemView } from "../../parts/Feedback";
import { formatBytes, formatContext, formatNumber } from "../../parts/format";
import { Choices, MemoryParts, Verdict } from "../../parts/PlanParts";

interface Props {
  plan?: Plan;
  error: unknown;
  pending: boolean;
  model: string;
}

/** What will run and why: answered by the platform while the form is filled. */
export function PlanPanel({ plan, error, pending, model }: Props) {
  const { t } = useTranslation();
  const [showing, setShowing] = useState(false);
  return (
    <aside className="panel side" aria-label={t("publish.plan")}>
      <div className="title">
        <span>{t("publish.plan")} {pending && <LoadingOutlined className="quiet" />}</span>
        <Button size="small" icon={<CodeOutlined />} disabled={!plan} onClick={() => setShowing(true)}>{t("publish.asCode")}</Button>
      </div>
      {!model ? (
        <div className="empty quiet">{t("publish.planEmpty")}</div>
      ) : error ? (
        <ProblemView error={error} />
      ) : plan ? (
        <PlanBody plan={plan} />
      ) : (
        <div style={{ padding: 16 }}><Skeleton active /></div>
      )}
      <Modal title={t("publish.asCodeTitle")} open={showing} onCancel={() => setShowing(false)} footer={null} width={720}>
        {plan && <CodeTabs samples={[{ key: "cli", label: "aicp", text: plan.cli }, { key: "curl", label: "curl", text: plan.curl }, { key: "yaml", label: "YAML", text: plan.yaml }]} />}
      </Modal>
    </aside>
  );
}

/** The replicas that would stop for it, told before anything happens. */
function MakesRoom({ preempts }: { preempts: Preempted[] }) {
  const { t } = useTranslation();
  return (
    <div className="reason warn" role="note" style={{ margin: "12px 16px 4px" }}>
      {t("publish.preempts", { count: preempts.length })}
      <ul style={{ margin: "4px 0 0", paddingInlineStart: 18 }}>
        {preempts.map((item, index) => (
          <li key={item.replica ?? index}>
            {item.service ? <><Link to={`/services/${item.service}`} style={{ textDecoration: "underline" }}>{item.service}</Link> <span className="mono small">{item.replica}</span> · {item.node}</> : t("publish.preemptsOther")} · {t("publish.priority")} <span className="num">{item.priority}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function PlanBody({ plan }: { plan: Plan }) {
  const { t } = useTranslation();
  const facts: [string, string][] = [
    [t("services.engine"), `${plan.engine} ${plan.engine_version} · ${plan.variant}`],
    [t("publish.node"), plan.node ? `${plan.node}${plan.accelerators.length ? ` · ${plan.accelerators.join(", ")}` : ""}` : "–"],
    [t("publish.perReplica"), `${formatNumber(plan.cpu_cores)} ${t("word.cores")} · ${formatBytes(plan.memory_bytes)} RAM`],
    [t("publish.serves"), t("publish.servesText", { replicas: plan.replicas, users: plan.users, tokens: formatContext(plan.context_length) })],
  ];
  return (
    <>
      <Verdict fit={plan.fit} />
      {plan.preempts.length > 0 && <MakesRoom preempts={plan.preempts} />}
      <div style={{ padding: "8px 16px 0" }}>
        {facts.map(([label, value]) => (
          <div key={label} className="row spread" style={{ padding: "5px 0" }}>
            <span className="quiet nowrap">{label}</span>
            <span className="num right strong" style={{ whiteSpace: "normal" }}>{value}</span>
          </div>
        ))}
        {!plan.environment_installed && <div className="reason warn" style={{ margin: "8px 0" }}>{t("publish.willInstall", { engine: `${plan.engine} ${plan.engine_version}` })}</div>}
      </div>
      <Tabs
        size="small"
        style={{ padding: "0 16px 12px" }}
        items={[
          { key: "memory", label: t("publish.memory"), children: <MemoryParts plan={plan} /> },
          { key: "choices", label: t("publish.why"), children: <Choices choices={plan.choices} /> },
          { key: "command", label: t("publish.command"), children: <Code text={plan.command.join(" ")} /> },
        ]}
      />
    </>
  );
}
