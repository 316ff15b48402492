import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Checkbox, Form, Input, InputNumber, Select } from "antd";
import { useTranslation } from "react-i18next";
import type { CardAdvice, CatalogAccelerator, PackedCard } from "../../api/schema";
import { localized } from "../../app/sentences";
import { ProblemView } from "../../parts/Feedback";
import { formatBytes } from "../../parts/format";
import { Meter } from "../../parts/Meter";
import { Panel } from "../../parts/Page";
import { adviceQuery } from "../../queries/nodes";
import { useDebounced } from "../../queries/plan";
import { EXAMPLE, parts, toQuestion, type AdviceValues } from "./adviceValues";

/** The question, and beside it the answer that changes with it. */
export function PoolAdvice({ catalog }: { catalog: CatalogAccelerator[] }) {
  const { t } = useTranslation();
  const [form] = Form.useForm<AdviceValues>();
  const values = Form.useWatch<AdviceValues>([], form) as AdviceValues | undefined;
  const { data, error, refetch } = useQuery(adviceQuery(useDebounced(toQuestion(values ?? EXAMPLE), 300)));
  const names = catalog.map((card) => ({ value: card.name, label: card.product }));
  return (
    <Panel title={t("advice.services")}>
      <Form form={form} layout="vertical" initialValues={EXAMPLE}>
        <Services cards={names} />
        <div className="row wrap" style={{ gap: 14, alignItems: "end" }}>
          <Form.Item name="cards" label={t("advice.cards")} style={{ flex: "1 1 320px" }}>
            <Select mode="multiple" maxCount={16} options={names} />
          </Form.Item>
          <Form.Item name="reserve" label={t("advice.reserve")}>
            <InputNumber min={0} step={0.5} />
          </Form.Item>
        </div>
      </Form>
      {error ? <ProblemView error={error} retry={() => void refetch()} /> : data?.cards.map((card) => <Answer key={card.card} card={card} best={card.card === data.best} />)}
    </Panel>
  );
}

function Services({ cards }: { cards: { value: string; label: string }[] }) {
  const { t } = useTranslation();
  const form = Form.useFormInstance<AdviceValues>();
  return (
    <Form.List name="services">
      {(rows, { add, remove }) => (
        <>
          {rows.map(({ key, name }) => (
            <div key={key} className="row wrap" style={{ gap: 10, alignItems: "end" }}>
              <Form.Item name={[name, "name"]} label={t("advice.service")} style={{ flex: "1 1 140px" }}><Input maxLength={100} /></Form.Item>
              <Form.Item name={[name, "share"]} label={t("advice.share")}><InputNumber min={0.1} max={100} /></Form.Item>
              <Form.Item name={[name, "measuredOn"]} label={t("advice.measuredOn")} style={{ flex: "1 1 180px" }}><Select allowClear showSearch placeholder={t("advice.anyCard")} options={cards} /></Form.Item>
              <Form.Item name={[name, "memory"]} label={t("advice.memory")}><InputNumber min={0.25} step={0.25} /></Form.Item>
              <Form.Item name={[name, "replicas"]} label={t("advice.replicas")}><InputNumber min={1} max={500} precision={0} /></Form.Item>
              <Form.Item name={[name, "whole"]} valuePropName="checked"><Checkbox>{t("advice.whole")}</Checkbox></Form.Item>
              <Form.Item name={[name, "spread"]} valuePropName="checked"><Checkbox>{t("advice.spread")}</Checkbox></Form.Item>
              <Form.Item><Button type="text" icon={<DeleteOutlined />} aria-label={t("advice.removeService", { name: form.getFieldValue(["services", name, "name"]) as string })} onClick={() => remove(name)} /></Form.Item>
            </div>
          ))}
          <Form.Item><Button icon={<PlusOutlined />} onClick={() => add({ replicas: 1 })}>{t("advice.add")}</Button></Form.Item>
        </>
      )}
    </Form.List>
  );
}

/** One kind of card: the counts, then every card drawn to scale. */
function Answer({ card, best }: { card: CardAdvice; best: boolean }) {
  const { t } = useTranslation();
  return (
    <section aria-label={card.product} style={{ marginTop: 18 }}>
      <div className="row wrap" style={{ gap: 12 }}>
        <span className="strong">{card.product}</span>
        <span>{localized(card.reason)}</span>
        {best && <span className="pill good">{t("advice.fewest")}</span>}
        {card.sliced_cards != null && <span className="small quiet">{t("advice.cutBy")}: {card.mechanism ?? t("advice.none")}. {card.exact ? t("advice.proven") : t("advice.least", { count: card.least_cards ?? 0 })}</span>}
      </div>
      {card.notes.map((note) => <div key={note} className="small quiet">{localized(note)}</div>)}
      <div style={{ display: "grid", gridTemplateColumns: "repeat(auto-fill, minmax(260px, 1fr))", gap: 14, marginTop: 8 }}>
        {card.packing.map((packed) => <Packed key={packed.number} card={packed} memory={card.memory_bytes} />)}
      </div>
    </section>
  );
}

function Packed({ card, memory }: { card: PackedCard; memory: number }) {
  const { t } = useTranslation();
  return (
    <div className="small">
      <div className="strong">{t("advice.card", { number: card.number })}</div>
      <div className="quiet">{t("advice.compute")}</div>
      <Meter total={100} parts={parts(card, "compute_percent")} label={t("advice.compute")} />
      <div className="quiet">{t("advice.memoryBar")}</div>
      <Meter total={memory} parts={parts(card, "memory_bytes")} label={t("advice.memoryBar")} />
      {card.shares.map((share) => (
        <div key={`${share.service} ${share.replica}`} className="num">
          {share.service} {share.replica}: {share.whole ? t("advice.wholeShare") : `${share.compute_percent} %, ${formatBytes(share.memory_bytes)}`}
          {share.rounding && <span className="quiet"> ({localized(share.rounding)})</span>}
        </div>
      ))}
      <div className="quiet">{t("advice.freeCompute", { percent: card.compute_free_percent, memory: formatBytes(card.memory_free_bytes) })}</div>
    </div>
  );
}
