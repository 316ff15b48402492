import { CloudServerOutlined, ClusterOutlined, DatabaseOutlined, KeyOutlined, RightOutlined, SearchOutlined } from "@ant-design/icons";
import { useQueries } from "@tanstack/react-query";
import { Input, Modal } from "antd";
import { useEffect, useMemo, useState, type KeyboardEvent, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { keysQuery } from "../queries/keys";
import { modelsQuery } from "../queries/models";
import { nodesQuery } from "../queries/nodes";
import { servicesQuery } from "../queries/services";
import { useMay } from "../queries/session";
import { SECTIONS } from "./sections";

interface Hit {
  to: string;
  text: string;
  kind: string;
  icon: ReactNode;
}

export function GlobalSearch({ open, onOpen }: { open: boolean; onOpen: (open: boolean) => void }) {
  const { t } = useTranslation();
  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        onOpen(true);
      }
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [onOpen]);
  return (
    <>
      <button className="search" onClick={() => onOpen(true)} aria-keyshortcuts="Control+K">
        <SearchOutlined aria-hidden />
        <span className="grow clip" style={{ textAlign: "start" }}>{t("search.hint")}</span>
        <kbd>Ctrl K</kbd>
      </button>
      <Modal open={open} onCancel={() => onOpen(false)} footer={null} closable={false} width={560} style={{ top: 96 }} styles={{ container: { padding: 0 } }} destroyOnHidden aria-label={t("search.hint")}>
        <SearchBox onClose={() => onOpen(false)} />
      </Modal>
    </>
  );
}

function SearchBox({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const hits = useHits(text);
  const go = (hit: Hit | undefined) => {
    if (!hit) return;
    onClose();
    void navigate(hit.to);
  };
  const onKey = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) {
      event.preventDefault();
      setAt((current) => Math.max(0, Math.min(hits.length - 1, current + step)));
    } else if (event.key === "Enter") go(hits[at]);
  };
  return (
    <div onKeyDown={onKey}>
      <Input autoFocus size="large" variant="borderless" prefix={<SearchOutlined className="quiet" />} placeholder={t("search.hint")} aria-label={t("search.hint")} value={text} onChange={(event) => { setText(event.target.value); setAt(0); }} style={{ padding: "14px 18px" }} />
      <div role="listbox" aria-label={t("search.results")} style={{ borderTop: "1px solid var(--ant-color-border-secondary)", padding: 8, maxHeight: 400, overflow: "auto" }}>
        {hits.length === 0 && <div className="quiet" style={{ padding: 16 }}>{t("list.nothing")}</div>}
        {hits.map((hit, index) => (
          <div key={`${hit.kind}${hit.to}${hit.text}`} role="option" aria-selected={index === at} className="row" onMouseEnter={() => setAt(index)} onClick={() => go(hit)} style={{ padding: "8px 10px", borderRadius: 6, cursor: "pointer", background: index === at ? "var(--ant-color-fill-tertiary)" : undefined }}>
            <span className="quiet">{hit.icon}</span>
            <span className="grow clip">{hit.text}</span>
            <span className="small quiet">{hit.kind}</span>
          </div>
        ))}
      </div>
    </div>
  );
}

function useHits(text: string): Hit[] {
  const { t } = useTranslation();
  const may = useMay();
  const [models, services, nodes, keys] = useQueries({
    queries: [
      { ...modelsQuery(), enabled: may("model:read") },
      { ...servicesQuery(), enabled: may("service:read") },
      { ...nodesQuery(), enabled: may("node:read") },
      { ...keysQuery(), enabled: may("key:read") },
    ],
  });
  return useMemo(() => {
    const all: Hit[] = [
      ...(services.data?.items ?? []).map((item) => ({ to: `/services/${item.name}`, text: item.name, kind: t("search.service"), icon: <CloudServerOutlined /> })),
      ...(models.data?.items ?? []).map((item) => ({ to: `/models/${item.name}`, text: item.name, kind: t("search.model"), icon: <DatabaseOutlined /> })),
      ...(keys.data?.items ?? []).map((item) => ({ to: `/platform/keys?search=${encodeURIComponent(item.name)}`, text: item.name, kind: t("search.key"), icon: <KeyOutlined /> })),
      ...(nodes.data?.items ?? []).map((item) => ({ to: `/platform/nodes/${item.id}`, text: item.name, kind: t("search.node"), icon: <ClusterOutlined /> })),
      ...SECTIONS.flatMap((section) => section.children ?? [section]).map((section) => ({ to: section.path, text: t(`nav.${section.name}`), kind: t("search.page"), icon: <RightOutlined /> })),
    ];
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return all.filter((hit) => words.every((word) => hit.text.toLowerCase().includes(word))).slice(0, 12);
  }, [models.data, services.data, nodes.data, keys.data, text, t]);
}
