import { CommentOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Tabs } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { ModelType, Service } from "../../api/schema";
import { Empty, PageSkeleton, ProblemView } from "../../parts/Feedback";
import { Head } from "../../parts/Page";
import { useUrl } from "../../parts/url";
import { servicesQuery } from "../../queries/services";
import { Chat } from "./Chat";
import { Compare } from "./Compare";
import { Embeddings } from "./Embeddings";
import { Rerank } from "./Rerank";

const CHAT: ModelType[] = ["chat", "vision", "ocr"];

export function Playground() {
  const { t } = useTranslation();
  const [tab, setTab] = useUrl("tab", "chat");
  const services = useQuery(servicesQuery());
  if (services.error) return <div className="page"><ProblemView error={services.error} retry={() => void services.refetch()} /></div>;
  if (services.isPending) return <PageSkeleton />;
  const ready = services.data.items.filter((service) => !service.stopped);
  const of = (...types: ModelType[]) => ready.filter((service) => types.includes(service.type));
  const none = (
    <section className="panel">
      <Empty icon={<CommentOutlined />} title={t("play.emptyTitle")} text={t("play.emptyText")} action={<Link to="/services/new"><Button type="primary">{t("services.publish")}</Button></Link>} />
    </section>
  );
  const show = (list: Service[], page: (services: Service[]) => React.ReactNode) => (list.length > 0 ? page(list) : none);
  return (
    <div className="page" style={{ paddingBottom: 16 }}>
      <Head title={t("nav.playground")} sub={t("play.sub")} />
      <Tabs
        activeKey={tab}
        onChange={setTab}
        destroyOnHidden
        items={[
          { key: "chat", label: t("play.chat"), children: show(of(...CHAT), (list) => <Chat services={list} />) },
          { key: "compare", label: t("play.compare"), children: show(of(...CHAT), (list) => <Compare services={list} />) },
          { key: "embeddings", label: t("play.embeddings"), children: show(of("embedding"), (list) => <Embeddings services={list} />) },
          { key: "rerank", label: t("play.rerank"), children: show(of("rerank"), (list) => <Rerank services={list} />) },
        ]}
      />
    </div>
  );
}
