import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Published as Answer } from "../../api/schema";
import { localized } from "../../app/sentences";
import { Code, CodeTabs, Secret } from "../../parts/Code";
import { Head, Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { replicasQuery, serviceQuery } from "../../queries/services";
import { ReplicaProgress } from "./Replicas";

/** The end of publishing: live state, address, the key once, and how to call it. */
export function Published({ answer }: { answer: Answer }) {
  const { t } = useTranslation();
  const { name } = answer.service;
  const { data: service = answer.service } = useQuery({ ...serviceQuery(name), refetchInterval: 2000 });
  const { data: replicas } = useQuery({ ...replicasQuery(name), refetchInterval: 2000 });
  return (
    <>
      <Head
        crumb={{ to: "/services", text: t("nav.services") }}
        title={t("published.title", { name })}
        state={<State state={service.state} reason={service.reason} />}
        sub={service.state === "ready" ? t("published.ready") : localized(service.reason) || t("published.starting")}
        actions={
          <>
            <Link to={`/services/${name}`}><Button>{t("published.open")}</Button></Link>
            <Link to={`/playground?service=${name}`}><Button type="primary" disabled={service.state !== "ready"}>{t("services.try")}</Button></Link>
          </>
        }
      />
      <div className="grid2">
        <div className="stack wide">
          {service.state !== "ready" && replicas && <Panel title={t("services.replicas")}>{replicas.items.map((replica) => <ReplicaProgress key={replica.id} replica={replica} />)}</Panel>}
          <Panel title={t("services.address")}>
            <Code text={service.address ?? ""} />
          </Panel>
          {answer.key && <Panel title={t("published.key")}><Secret text={answer.key} /></Panel>}
        </div>
        <Panel title={t("published.call")}>
          <CodeTabs samples={[{ key: "curl", label: "curl", text: answer.curl }, { key: "python", label: "Python", text: answer.python }]} />
        </Panel>
      </div>
    </>
  );
}
