import { useQuery } from "@tanstack/react-query";
import { Button, DatePicker, Form, Input, InputNumber, Modal, Popconfirm, Table, Tag } from "antd";
import dayjs, { type Dayjs } from "dayjs";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { Reservation, ReservationCreate } from "../../api/schema";
import { Equivalent } from "../../parts/Equivalent";
import { ProblemView } from "../../parts/Feedback";
import { Panel } from "../../parts/Page";
import { SearchSelect } from "../../parts/SearchSelect";
import { Time } from "../../parts/Time";
import { useAction } from "../../queries/action";
import { reservationsQuery } from "../../queries/pools";
import { projectChoices } from "../../queries/project";
import { useMay } from "../../queries/session";

interface Values {
  project?: string;
  accelerators?: number;
  times?: [Dayjs, Dayjs];
  note?: string;
}

/** Accelerators of a pool that only one project may have for a time: list, add, remove. */
export function PoolReservations({ pool }: { pool: string }) {
  const { t } = useTranslation();
  const writes = useMay()("node:write");
  const [asked, setAsked] = useState(false);
  const found = useQuery(reservationsQuery(pool));
  const remove = useAction((id: string) => need(api.DELETE("/api/v1/reservations/{id}", { params: { path: { id } } })), ["pool"]);
  if (found.error && !found.data) return <ProblemView error={found.error} retry={() => void found.refetch()} />;
  return (
    <Panel flush title={t("pools.reservations")} extra={writes && <Button size="small" onClick={() => setAsked(true)}>{t("pools.reserve")}</Button>}>
      <Table<Reservation>
        size="middle"
        pagination={false}
        loading={found.isPending}
        scroll={{ x: "max-content" }}
        rowKey="id"
        dataSource={found.data?.items ?? []}
        locale={{ emptyText: <span className="quiet">{t("pools.noReservations")}</span> }}
        columns={[
          { title: t("keys.project"), render: (_, row) => <div><b>{row.project}</b> {row.active && <Tag color="blue">{t("pools.reservedNow")}</Tag>}<div className="small quiet">{row.note}</div></div> },
          { title: t("nodes.accelerators"), render: (_, row) => row.accelerators.map((card) => <div key={`${card.node_id}${card.device_id}`}>{card.node}: {card.accelerator} {card.held_by_others > 0 && <Tag color="orange">{t("pools.heldByOthers", { count: card.held_by_others })}</Tag>}</div>) },
          { title: t("pools.start"), render: (_, row) => <Time at={row.starts_at} /> },
          { title: t("pools.end"), render: (_, row) => <Time at={row.ends_at} /> },
          { title: "", align: "end", render: (_, row) => writes && <Popconfirm title={t("pools.reservationRemove")} okText={t("action.remove")} cancelText={t("action.cancel")} onConfirm={() => remove.mutate(row.id)}><Button type="text" danger size="small">{t("action.remove")}</Button></Popconfirm> },
        ]}
      />
      <ReservationDialog pool={pool} open={asked} onClose={() => setAsked(false)} />
    </Panel>
  );
}

const bodyOf = (pool: string, { project, accelerators, times, note }: Values): ReservationCreate => ({
  pool,
  project: project ?? "",
  accelerators: accelerators ?? 1,
  starts_at: times?.[0].toISOString(),
  ends_at: times?.[1].toISOString() ?? "",
  note: note ?? "",
});

function ReservationDialog({ pool, open, onClose }: { pool: string; open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Values>();
  const written = Form.useWatch((values: Values) => values, form);
  const create = useAction((values: Values) => need(api.POST("/api/v1/reservations", { body: bodyOf(pool, values) })), ["pool"], { form, onDone: onClose });
  const needed = [{ required: true, message: t("form.required") }];
  const body = bodyOf(pool, written ?? {});
  const local = (at: Dayjs | undefined) => at?.format("YYYY-MM-DD HH:mm:ss") ?? "TIME";
  const command = ["aicp", "reservation", "create", "--pool", pool, "--project", body.project || "PROJECT", "--cards", `${body.accelerators}`, "--from", local(written?.times?.[0]), "--to", local(written?.times?.[1]), ...(body.note ? ["--note", body.note] : [])];
  return (
    <Modal title={t("pools.reserve")} open={open} onCancel={onClose} okText={t("pools.reserve")} cancelText={t("action.cancel")} confirmLoading={create.isPending} onOk={() => form.submit()} destroyOnHidden>
      <Form<Values> form={form} layout="vertical" preserve={false} clearOnDestroy initialValues={{ accelerators: 1 }} onFinish={(values) => create.mutate(values)}>
        <Form.Item name="project" label={t("keys.project")} rules={needed}><SearchSelect kind="project" label={t("keys.project")} load={projectChoices} /></Form.Item>
        <Form.Item name="accelerators" label={t("nodes.accelerators")} extra={t("pools.reserveHint")} rules={needed}><InputNumber min={1} precision={0} style={{ width: "100%" }} /></Form.Item>
        <Form.Item name="times" label={t("pools.reserveTimes")} rules={needed}><DatePicker.RangePicker showTime={{ format: "HH:mm" }} format="YYYY-MM-DD HH:mm" minDate={dayjs().startOf("minute")} style={{ width: "100%" }} /></Form.Item>
        <Form.Item name="note" label={t("pools.reserveNote")}><Input maxLength={2000} autoComplete="off" /></Form.Item>
        <Equivalent same={{ command, method: "POST", path: "/api/v1/reservations", body }} />
      </Form>
    </Modal>
  );
}
