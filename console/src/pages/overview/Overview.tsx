import { CloudServerOutlined, RocketOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { Empty, PageSkeleton, ProblemView } from "../../parts/Feedback";
import { formatBytes, formatMs, formatNumber, formatPercent } from "../../parts/format";
import { Head, Panel } from "../../parts/Page";
import { Events } from "../../parts/Events";
import { JobLine } from "../../parts/JobLine";
import { State } from "../../parts/State";
import { jobsQuery } from "../../queries/jobs";
import { overviewQuery } from "../../queries/metrics";
import { useMay } from "../../queries/session";
import { FigureCard } from "./FigureCard";
import { PoolMap } from "./PoolMap";

export function Overview() {
  const { t } = useTranslation();
  const may = useMay();
  const navigate = useNavigate();
  const overview = useQuery(overviewQuery);
  const jobs = useQuery({ ...jobsQuery({ limit: 50 }), enabled: may("job:read") });
  if (overview.error && !overview.data) return <div className="page"><ProblemView error={overview.error} retry={() => void overview.refetch()} /></div>;
  if (!overview.data) return <PageSkeleton />;
  const { accelerators, memory, requests, errors, services } = overview.data;
  const running = jobs.data?.items.filter((job) => job.state === "running" || job.state === "queued") ?? [];
  return (
    <div className="page">
      <Head title={t("nav.overview")} sub={t("overview.sub")} actions={may("service:write") && <Button type="primary" icon={<RocketOutlined />} onClick={() => void navigate("/services/new")}>{t("services.publish")}</Button>} />
      <div className="stack wide">
        <div className="grid4">
          <FigureCard label={t("overview.accelerators")} value={formatNumber(accelerators.value)} total={formatNumber(accelerators.total)} points={accelerators.points} />
          <FigureCard label={t("overview.memory")} value={formatBytes(memory.value)} total={formatBytes(memory.total)} points={memory.points} />
          <FigureCard label={t("overview.requests")} value={formatNumber(requests.value)} unit="/s" points={requests.points} />
          <FigureCard label={t("overview.errors")} value={formatPercent(errors.value, 2)} points={errors.points} />
        </div>
        {may("node:read") && <PoolMap />}
        <div className="grid2" style={{ alignItems: "start" }}>
          <div className="stack wide">
            <Panel title={t("overview.services")} extra={<Link to="/services">{t("overview.all")}</Link>} flush>
              {services.length === 0 ? (
                <Empty icon={<CloudServerOutlined />} title={t("services.emptyTitle")} text={t("services.emptyText")} />
              ) : (
                services.map((service) => (
                  <div key={service.name} className="row spread" style={{ padding: "10px 16px", borderBottom: "1px solid var(--ant-color-border-secondary)" }}>
                    <Link to={`/services/${service.name}`} className="strong clip grow">{service.name}</Link>
                    <State state={service.state} />
                    <span className="num right" style={{ width: 84 }} title={t("services.requests")}>{formatNumber(service.requests_per_second)} /s</span>
                    <span className="num right" style={{ width: 96 }} title={t("services.ttft99")}>{service.ttft_ms_p99 == null ? "–" : `p99 ${formatMs(service.ttft_ms_p99)}`}</span>
                  </div>
                ))
              )}
            </Panel>
            <Panel title={t("overview.jobs")} extra={<Link to="/platform/jobs">{t("overview.all")}</Link>}>
              {running.length === 0 ? <span className="quiet">{t("jobs.none")}</span> : <div className="stack wide">{running.map((job) => <JobLine key={job.id} job={job} />)}</div>}
            </Panel>
          </div>
          <div>
            <h2 className="section">{t("overview.events")}</h2>
            <Events limit={10} brief />
          </div>
        </div>
      </div>
    </div>
  );
}
