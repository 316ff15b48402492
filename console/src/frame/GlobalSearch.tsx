import { CloudServerOutlined, ClusterOutlined, DatabaseOutlined, KeyOutlined, RightOutlined, SearchOutlined } from "@ant-design/icons";
import { keepPreviousData, useQueries } from "@tanstack/react-query";
import { Input, Modal } from "antd";
import { useEffect, useMemo, useState, type KeyboardEvent, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { api, need } from "../api/client";
import { useDebounced } from "../queries/plan";
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

const FOUND = 5;

/** What matches: the platform searches its objects, pages are found by their title. */
function useHits(text: string): Hit[] {
  const { t } = useTranslation();
  const may = useMay();
  const search = useDebounced(text.trim(), 200) || undefined;
  const query = { search, limit: FOUND };
  const options = { placeholderData: keepPreviousData };
  const [models, services, nodes, keys] = useQueries({
    queries: [
      { ...options, queryKey: ["model", "search", query], enabled: may("model:read"), queryFn: () => need(api.GET("/api/v1/models", { params: { query } })) },
      { ...options, queryKey: ["service", "search", query], enabled: may("service:read"), queryFn: () => need(api.GET("/api/v1/services", { params: { query } })) },
      { ...options, queryKey: ["node", "search", query], enabled: may("node:read"), queryFn: () => need(api.GET("/api/v1/nodes", { params: { query } })) },
      { ...options, queryKey: ["key", "search", query], enabled: may("key:read"), queryFn: () => need(api.GET("/api/v1/keys", { params: { query } })) },
    ],
  });
  // Until the platform has answered for this text, only what fits it of the answer before: Enter must not open another.
  const late = search !== (text.trim() || undefined) || [models, services, nodes, keys].some((query) => query.isPlaceholderData);
  return useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (hit: Hit) => words.every((word) => hit.text.toLowerCase().includes(word));
    const pages = SECTIONS.flatMap((section) => section.children ?? [section]).filter((section) => may(section.needs));
    const objects: Hit[] = [
      ...(services.data?.items ?? []).map((item) => ({ to: `/services/${item.name}`, text: item.name, kind: t("search.service"), icon: <CloudServerOutlined /> })),
      ...(models.data?.items ?? []).map((item) => ({ to: `/models/${item.name}`, text: item.name, kind: t("search.model"), icon: <DatabaseOutlined /> })),
      ...(keys.data?.items ?? []).map((item) => ({ to: `/platform/keys?search=${encodeURIComponent(item.name)}`, text: item.name, kind: t("search.key"), icon: <KeyOutlined /> })),
      ...(nodes.data?.items ?? []).map((item) => ({ to: `/platform/nodes/${item.id}`, text: item.name, kind: t("search.node"), icon: <ClusterOutlined /> })),
    ];
    const titles: Hit[] = pages.map((section) => ({ to: section.path, text: t(`nav.${section.name}`), kind: t("search.page"), icon: <RightOutlined /> }));
    return [...(late ? objects.filter(fits) : objects), ...titles.filter(fits)];
  }, [models.data, services.data, nodes.data, keys.data, text, late, t, may]);
}
