import { useQuery } from "@tanstack/react-query";
import { Button, Form } from "antd";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { api, need, Problem } from "../../api/client";
import type { Published as PublishedAnswer } from "../../api/schema";
import { localized } from "../../app/sentences";
import { PageSkeleton, ProblemView } from "../../parts/Feedback";
import { Head } from "../../parts/Page";
import { useAction } from "../../queries/action";
import { planQuery, useDebounced } from "../../queries/plan";
import { useHomeProject } from "../../queries/project";
import { serviceQuery } from "../../queries/services";
import { PlanPanel } from "./PlanPanel";
import { Published } from "./Published";
import { PublishFields } from "./PublishFields";
import { createOf, DEFAULTS, specOf, valuesOf, type PublishValues } from "./spec";

/** Publishes a model, or changes a service when the address names one. */
export function Publish() {
  const { name } = useParams();
  const service = useQuery({ ...serviceQuery(name ?? ""), enabled: name !== undefined });
  const [parameters] = useSearchParams();
  if (name && service.error) return <div className="page"><ProblemView error={service.error} retry={() => void service.refetch()} /></div>;
  if (name && !service.data) return <PageSkeleton />;
  const initial = service.data ? valuesOf(service.data) : { ...DEFAULTS, model: parameters.get("model") ?? "", version: parameters.get("version") ?? undefined };
  return <PublishForm initial={initial} editing={name} />;
}

function PublishForm({ initial, editing }: { initial: PublishValues; editing?: string }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const home = useHomeProject();
  const [form] = Form.useForm<PublishValues>();
  const watched = Form.useWatch((values: PublishValues) => values, form);
  const values = { ...initial, ...watched };
  const [published, setPublished] = useState<PublishedAnswer | null>(null);
  const [error, setError] = useState<unknown>(null);
  const top = useRef<HTMLDivElement>(null);
  const plan = useQuery(planQuery(useDebounced(createOf({ ...values, create_key: false }, home), 300)));

  const fail = (problem: unknown) => {
    setError(problem);
    const fields = problem instanceof Problem ? problem.fields : {};
    for (const [path, text] of Object.entries(fields)) {
      const field = path.split(".").pop() as keyof PublishValues;
      if (field in DEFAULTS || field === "name") form.setFields([{ name: field, errors: [localized(text)] }]);
    }
  };
  const publish = useAction((input: PublishValues) => need(api.POST("/api/v1/services", { body: createOf(input, home) })), ["service", "key"], { silent: true, onDone: setPublished });
  const update = useAction((input: PublishValues) => need(api.PATCH("/api/v1/services/{name}", { params: { path: { name: editing ?? "" } }, body: { spec: specOf(input), description: input.description } })), ["service", "replica"], { silent: true, onDone: (service) => void navigate(`/services/${service.name}`) });
  useEffect(() => {
    if (error !== null || published) top.current?.scrollIntoView({ block: "start" });
  }, [error, published]);

  if (published) return <div className="page" ref={top}><Published answer={published} /></div>;
  const submit = (input: PublishValues) => {
    setError(null);
    (editing ? update : publish).mutate({ ...initial, ...input }, { onError: fail });
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
          <PublishFields values={values} plan={plan.data} editing={editing !== undefined} />
          <div className="row" style={{ justifyContent: "flex-end", marginBottom: 24 }}>
            <Link to={editing ? `/services/${editing}` : "/services"}><Button>{t("action.cancel")}</Button></Link>
            <Button type="primary" htmlType="submit" size="large" loading={publish.isPending || update.isPending} disabled={!values.model}>
              {t(editing ? "publish.update" : "services.publish")}
            </Button>
          </div>
        </Form>
        <PlanPanel plan={plan.data} error={plan.error} pending={plan.isFetching} model={values.model} editing={editing !== undefined} />
      </div>
    </div>
  );
}
