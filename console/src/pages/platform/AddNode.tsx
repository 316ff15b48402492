import { useQuery } from "@tanstack/react-query";
import { Form, InputNumber, Modal, Select, Skeleton } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { JoinTokenCreated } from "../../api/schema";
import { Code, Secret } from "../../parts/Code";
import { Equivalent } from "../../parts/Equivalent";
import { ProblemView } from "../../parts/Feedback";
import { SearchSelect } from "../../parts/SearchSelect";
import { Time } from "../../parts/Time";
import { useAction } from "../../queries/action";
import { joinTokensQuery } from "../../queries/joins";
import { poolChoices } from "../../queries/pools";
import { Arrivals } from "./Arrivals";
import { JOIN_DEFAULTS, joinCommand, openingCommand, sameAs, tokenOf, type JoinValues } from "./joinValues";
import { isLabel } from "./poolValues";

/** Makes a token, says what to run on the machine that is to join, and shows it arrive. */
export function AddNode({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<JoinValues>();
  const [created, setCreated] = useState<JoinTokenCreated | null>(null);
  const tokens = useQuery(joinTokensQuery(open));
  const create = useAction((values: JoinValues) => need(api.POST("/api/v1/join-tokens", { body: tokenOf(values) })), ["join_token"], { form, onDone: setCreated });
  const address = tokens.data?.address;
  const asks = !created && Boolean(address);
  return (
    <Modal
      title={t("join.title")}
      open={open}
      width={680}
      destroyOnHidden
      mask={{ closable: created === null }}
      onCancel={onClose}
      afterClose={() => setCreated(null)}
      okText={t(asks ? "join.make" : "action.done")}
      cancelText={t("action.cancel")}
      cancelButtonProps={{ hidden: !asks }}
      confirmLoading={create.isPending}
      onOk={asks ? () => form.submit() : onClose}
    >
      {tokens.error && !tokens.data ? <ProblemView error={tokens.error} retry={() => void tokens.refetch()} /> : tokens.isPending ? <Skeleton active /> : created ? <Joining created={created} /> : address ? (
        <Form<JoinValues> form={form} layout="vertical" preserve={false} initialValues={JOIN_DEFAULTS} onFinish={(values) => create.mutate(values)}>
          <p>{t("join.text", { address })}</p>
          <JoinFields />
        </Form>
      ) : <Closed />}
    </Modal>
  );
}

function JoinFields() {
  const { t } = useTranslation();
  const form = Form.useFormInstance<JoinValues>();
  const written = Form.useWatch((values: JoinValues) => values, form) as JoinValues | undefined;
  const labelled = [{ validator: (_: unknown, given: string[] | undefined) => ((given ?? []).every(isLabel) ? Promise.resolve() : Promise.reject(new Error(t("pools.labelWrong")))) }];
  return (
    <>
      <div className="grid2" style={{ rowGap: 0 }}>
        <Form.Item name="pool" label={t("publish.pool")} extra={t("join.poolHint")}><SearchSelect kind="pool" label={t("publish.pool")} load={poolChoices} allowClear placeholder="default" /></Form.Item>
        <Form.Item name="labels" label={t("pools.labels")} extra={t("join.labelsHint")} rules={labelled}><Select mode="tags" open={false} suffixIcon={null} tokenSeparators={[",", " "]} /></Form.Item>
        <Form.Item name="uses" label={t("join.uses")} extra={t("join.usesHint")} rules={[{ required: true, message: t("form.required") }]}><InputNumber min={1} max={1000} precision={0} style={{ width: "100%" }} /></Form.Item>
        <Form.Item name="hours" label={t("join.hours")} extra={t("join.hoursHint")} rules={[{ required: true, message: t("form.required") }]}><InputNumber min={0.1} max={24 * 366} style={{ width: "100%" }} suffix="h" /></Form.Item>
      </div>
      <Equivalent same={sameAs(written ?? {})} />
    </>
  );
}

/** The command with the token, shown this once, and who has come by it so far. */
function Joining({ created }: { created: JoinTokenCreated }) {
  const { t } = useTranslation();
  const token = created.join_token;
  return (
    <div className="stack wide">
      <div>{t("join.run")}</div>
      <Secret text={joinCommand(created)} />
      <div className="small quiet">{t("join.reach", { address: created.address })}</div>
      <div className="small quiet">{t("join.holds", { count: token.uses })} <Time at={token.expires_at} /></div>
      <Arrivals token={token} />
    </div>
  );
}

/** What to do where the platform listens for no machine. */
function Closed() {
  const { t } = useTranslation();
  return (
    <div className="stack wide">
      <div className="reason warn" style={{ margin: 0 }}>{t("join.closed")}</div>
      <div>{t("join.closedHow")}</div>
      <Code text={`aicp down\n${openingCommand(location.hostname)} --detach`} />
      <div className="small quiet">{t("join.closedHint")}</div>
    </div>
  );
}
