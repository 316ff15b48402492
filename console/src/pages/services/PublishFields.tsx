import { useQuery } from "@tanstack/react-query";
import { Collapse, Form, Input, InputNumber, Select, Switch } from "antd";
import { useTranslation } from "react-i18next";
import type { Plan, Pool } from "../../api/schema";
import { formatBytes, formatContext, formatNumber, GIB } from "../../parts/format";
import { modelsQuery, versionsQuery } from "../../queries/models";
import { poolsQuery } from "../../queries/nodes";
import { EngineFields } from "./EngineFields";
import { ModeField } from "./ModeField";
import { ProjectField, useOwner } from "./ProjectField";
import { ScalingFields } from "./ScalingFields";
import { SliceFields } from "./SliceFields";
import { VendorField } from "./VendorField";
import type { PublishValues } from "./spec";

const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;

interface Props {
  values: PublishValues;
  plan?: Plan;
  editing: boolean;
  unfolded: boolean;
  onUnfold: (unfolded: boolean) => void;
}

export function PublishFields({ values, plan, editing, unfolded, onUnfold }: Props) {
  const { t } = useTranslation();
  const models = useQuery(modelsQuery());
  const versions = useQuery({ ...versionsQuery(values.model), enabled: Boolean(values.model) });
  const pools = useQuery(poolsQuery);
  const model = models.data?.items.find((item) => item.name === values.model);
  const aliases = model?.aliases ?? {};
  const owner = useOwner(model, editing);
  const automatic = (value: string | number | undefined) => (value === undefined ? t("publish.automatic") : t("publish.automaticValue", { value }));
  return (
    <>
      <section className="panel fieldset">
        <h2>{t("publish.what")}</h2>
        <div className="grid2" style={{ rowGap: 0 }}>
          <Form.Item name="model" label={t("publish.model")} rules={[{ required: true, message: t("publish.modelNeeded") }]}>
            <Select showSearch loading={models.isPending} disabled={editing} placeholder={t("publish.modelChoose")} notFoundContent={t("publish.noModels")} options={models.data?.items.filter((model) => model.versions > 0).map((model) => ({ value: model.name, label: model.name }))} />
          </Form.Item>
          <Form.Item name="version" label={t("publish.version")}>
            <Select
              allowClear
              placeholder={aliases.latest ? t("publish.latest", { version: aliases.latest }) : t("publish.latestOnly")}
              options={[
                { label: t("models.aliases"), options: Object.entries(aliases).map(([alias, version]) => ({ value: alias, label: `${alias} → ${version}` })) },
                { label: t("models.tabVersions"), options: versions.data?.items.map((item) => ({ value: item.version, label: item.version })) ?? [] },
              ]}
            />
          </Form.Item>
        </div>
        <div className="grid2" style={{ rowGap: 0 }}>
          <Form.Item name="name" label={t("publish.name")} extra={editing ? undefined : t("publish.nameHint")} rules={[{ pattern: NAME, message: t("form.name") }]}>
            <Input disabled={editing} placeholder={values.model || "assistant"} autoComplete="off" />
          </Form.Item>
          <ProjectField owner={owner} model={values.model} editing={editing} />
        </div>
      </section>

      <section className="panel fieldset">
        <h2>{t("publish.how")}</h2>
        <Form.Item name="mode" label={t("publish.mode")}>
          <ModeField />
        </Form.Item>
        {values.mode === "custom" && <EngineFields values={values} />}
        <div className="grid2" style={{ rowGap: 0 }}>
          <Form.Item name="context_length" label={t("publish.context")} extra={t("publish.contextHint")}>
            <InputNumber min={16} step={1024} style={{ width: "100%" }} suffix={t("word.tokens")} placeholder={automatic(plan && formatContext(plan.context_length))} />
          </Form.Item>
          <Form.Item name="users" label={t("publish.users")} extra={t("publish.usersHint")}>
            <InputNumber min={1} max={100000} style={{ width: "100%" }} placeholder={automatic(plan?.users)} />
          </Form.Item>
        </div>
      </section>

      <section className="panel fieldset">
        <h2>{t("publish.where")}</h2>
        <Form.Item name="pool" label={t("publish.pool")} rules={[{ required: true }]}>
          <Select disabled={editing} options={pools.data?.items.map((pool) => ({ value: pool.name, label: pool.name, pool }))} optionRender={({ data }) => <PoolOption pool={(data as { pool: Pool }).pool} />} labelRender={({ value }) => <PoolOption pool={pools.data?.items.find((pool) => pool.name === value)} name={String(value)} />} />
        </Form.Item>
        <div className="grid3" style={{ rowGap: 0 }}>
          <Form.Item name="accelerators" label={t("publish.accelerators")} extra={t("publish.perReplica")}>
            <InputNumber min={0} max={64} precision={0} style={{ width: "100%" }} placeholder={automatic(plan && (onCpu(plan) ? 0 : plan.accelerators.length))} />
          </Form.Item>
          <Form.Item name="cpu_cores" label={t("publish.cores")} extra={t("publish.perReplica")}>
            <InputNumber min={0.5} step={1} style={{ width: "100%" }} placeholder={automatic(plan && formatNumber(plan.cpu_cores))} />
          </Form.Item>
          <Form.Item name="memory_gib" label={t("publish.ram")} extra={t("publish.perReplica")}>
            <InputNumber min={0.25} step={1} style={{ width: "100%" }} suffix="GiB" placeholder={automatic(plan && formatNumber(plan.memory_bytes / GIB))} />
          </Form.Item>
        </div>
        <SliceFields values={values} />
        <Form.Item name="nodes" label={t("publish.nodes")} extra={t("publish.nodesHint")}>
          <InputNumber min={1} max={64} precision={0} style={{ width: 160 }} />
        </Form.Item>
        <ScalingFields scales={values.scales ?? false} />
      </section>

      {!editing && (
        <section className="panel fieldset">
          <h2>{t("publish.who")}</h2>
          <Form.Item name="create_key" valuePropName="checked" label={t("publish.key")} extra={t("publish.keyHint")}>
            <Switch />
          </Form.Item>
        </section>
      )}

      <Collapse
        style={{ marginBottom: 16, background: "var(--ant-color-bg-container)" }}
        activeKey={unfolded ? ["advanced"] : []}
        onChange={(keys) => onUnfold(keys.length > 0)}
        items={[
          {
            key: "advanced",
            label: t("form.advanced"),
            forceRender: true,
            children: (
              <>
                <div className="grid2" style={{ rowGap: 0 }}>
                  <Form.Item name="node_labels" label={t("publish.nodeLabels")} extra={t("publish.nodeLabelsHint")}>
                    <Select mode="tags" open={false} suffixIcon={null} tokenSeparators={[",", " "]} />
                  </Form.Item>
                  <Form.Item name="tolerations" label={t("publish.tolerations")} extra={t("publish.tolerationsHint")}>
                    <Select mode="tags" open={false} suffixIcon={null} tokenSeparators={[",", " "]} />
                  </Form.Item>
                </div>
                <div className="grid2" style={{ rowGap: 0 }}>
                  <VendorField pool={values.pool} />
                  <Form.Item name="description" label={t("models.description")}><Input maxLength={2000} /></Form.Item>
                </div>
                <div className="grid2" style={{ rowGap: 0 }}>
                  <Form.Item name="visibility" label={t("publish.visibility")} extra={owner && t("publish.visibilityOwn", { project: owner })}>
                    <Select options={[{ value: "public", label: t("visibility.public"), disabled: owner !== undefined }, { value: "project", label: t("visibility.ofProject", { project: values.project }) }]} />
                  </Form.Item>
                  <Form.Item name="drain_seconds" label={t("publish.drain")} extra={t("publish.drainHint")}>
                    <InputNumber min={0} max={3600} style={{ width: "100%" }} suffix="s" />
                  </Form.Item>
                </div>
                <div className="grid2" style={{ rowGap: 0 }}>
                  <Form.Item name="priority" label={t("publish.priority")} extra={t("publish.priorityHint")}>
                    <InputNumber min={-1000} max={1000} precision={0} style={{ width: "100%" }} placeholder="0" />
                  </Form.Item>
                  <Form.Item name="preemptible" valuePropName="checked" label={t("publish.preemptible")} extra={t("publish.preemptibleHint")}>
                    <Switch />
                  </Form.Item>
                </div>
              </>
            ),
          },
        ]}
      />
    </>
  );
}

function onCpu(plan: Plan): boolean {
  return plan.choices.some((choice) => choice.name === "accelerators" && choice.value === "cpu");
}

/** A pool with what is free in it. */
function PoolOption({ pool, name }: { pool?: Pool; name?: string }) {
  const { t } = useTranslation();
  if (!pool) return <>{name}</>;
  return (
    <span className="row spread">
      <span>{pool.name}</span>
      <span className="small quiet num">
        {pool.accelerators > 0
          ? t("publish.poolFree", { free: pool.accelerators_free, total: pool.accelerators, memory: formatBytes(pool.memory_free_bytes), cores: formatNumber(pool.cpu_cores_free) })
          : t("publish.poolFreeCpu", { free: formatNumber(pool.cpu_cores_free), total: formatNumber(pool.cpu_cores), memory: formatBytes(pool.host_memory_free_bytes) })}
      </span>
    </span>
  );
}
