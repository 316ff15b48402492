import { useQuery } from "@tanstack/react-query";
import { Button, Form } from "antd";
import { useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { api, need } from "../../api/client";
import type { Published as PublishedAnswer } from "../../api/schema";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { Head } from "../../parts/Page";
import { useAction } from "../../queries/action";
import { changePlanQuery, planQuery, useDebounced } from "../../queries/plan";
import { projectsQuery, useHomeProject } from "../../queries/project";
import { serviceQuery } from "../../queries/services";
import { useMay } from "../../queries/session";
import { PlanPanel } from "./PlanPanel";
import { Published } from "./Published";
import { PublishFields } from "./PublishFields";
import { createOf, DEFAULTS, updateOf, valuesOf, type PublishValues } from "./spec";
import { useFieldProblems } from "./useFieldProblems";

/** Publishes a model, or changes a service when the address names one. */
export function Publish() {
  const { name } = useParams();
  const service = useQuery({ ...serviceQuery(name ?? ""), enabled: name !== undefined });
  const [parameters] = useSearchParams();
  const projects = useQuery(projectsQuery);
  const may = useMay();
  const chosen = useHomeProject();
  const home = may("service:write", chosen) ? chosen : (projects.data?.items.find((item) => may("service:write", item.name))?.name ?? chosen);
  if (name && service.error) return <div className="page"><ProblemView error={service.error} retry={() => void service.refetch()} /></div>;
  // The form starts with the project, and a form does not start over.
  if ((name && !service.data) || projects.isPending) return <PageSkeleton />;
  const initial = service.data ? valuesOf(service.data) : { ...DEFAULTS, project: home, model: parameters.get("model") ?? "", version: parameters.get("version") ?? undefined };
  return <PublishForm initial={initial} editing={name} />;
}

/** What would run, asked again while the form is filled. */
function usePlan(values: PublishValues, editing?: string) {
  const settled = useDebounced(values, 300);
  const publish = useQuery({ ...planQuery(createOf(settled)), enabled: editing === undefined && Boolean(settled.model) });
  const change = useQuery({ ...changePlanQuery(editing ?? "", updateOf(settled)), enabled: editing !== undefined });
  return editing === undefined ? publish : change;
}

function PublishForm({ initial, editing }: { initial: PublishValues; editing?: string }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [form] = Form.useForm<PublishValues>();
  const watched = Form.useWatch((values: PublishValues) => values, form);
  const values = { ...initial, ...watched };
  const [published, setPublished] = useState<PublishedAnswer | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [unfolded, setUnfolded] = useState(false);
  const top = useRef<HTMLDivElement>(null);
  const plan = usePlan(values, editing);
  const unfold = useCallback(() => setUnfolded(true), []);
  useFieldProblems(form, plan.error, unfold);
  useFieldProblems(form, error, unfold);

  const publish = useAction((input: PublishValues) => need(api.POST("/api/v1/services", { body: createOf(input) })), ["service", "key"], { silent: true, onDone: setPublished });
  const update = useAction((input: PublishValues) => need(api.PATCH("/api/v1/services/{name}", { params: { path: { name: editing ?? "" } }, body: updateOf(input) })), ["service", "replica"], { silent: true, onDone: (service) => void navigate(`/services/${service.name}`) });
  useEffect(() => {
    if (error !== null || published) top.current?.scrollIntoView({ block: "start" });
  }, [error, published]);

  if (published) return <div className="page" ref={top}><Published answer={published} /></div>;
  const submit = (input: PublishValues) => {
    setError(null);
    (editing ? update : publish).mutate({ ...initial, ...input }, { onError: setError });
  };
  return (
    <div className="page" ref={top}>
      <Head
        crumb={editing ? { to: `/services/${editing}`, text: editing } : { to: "/services", text: t("nav.services") }}
        title={editing ? t("publish.editTitle", { name: editing }) : t("services.publish")}
        sub={t(editing ? "publish.editSub" : "publish.sub")}
      />
      {error !== null && <ProblemView error={error} />}
      <div className="publish">
        <Form<PublishValues> form={form} layout="vertical" initialValues={{ ...initial, model: initial.model || undefined }} onFinish={submit} scrollToFirstError>
          <PublishFields values={values} plan={plan.data} editing={editing !== undefined} unfolded={unfolded} onUnfold={setUnfolded} />
          <div className="row" style={{ justifyContent: "flex-end", marginBottom: 24 }}>
            <Link to={editing ? `/services/${editing}` : "/services"}><Button>{t("action.cancel")}</Button></Link>
            <Button type="primary" htmlType="submit" size="large" loading={publish.isPending || update.isPending} disabled={!values.model}>
              {t(editing ? "publish.update" : "services.publish")}
            </Button>
          </div>
        </Form>
        <PlanPanel plan={plan.data} error={plan.error} pending={plan.isFetching} model={values.model} />
      </div>
    </div>
  );
}
