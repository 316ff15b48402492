import { useQuery } from "@tanstack/react-query";
import { App, Button, Table, Tag } from "antd";
import { useTranslation } from "react-i18next";
import { api, need } from "../../api/client";
import type { JoinToken } from "../../api/schema";
import { ProblemView } from "../../parts/Feedback";
import { Panel } from "../../parts/Page";
import { Time, useNow } from "../../parts/Time";
import { useAction } from "../../queries/action";
import { joinTokensQuery } from "../../queries/joins";
import { isOpen } from "./joinValues";

/** Tokens with which machines could still join; nothing where there is none. */
export function JoinTokens() {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const tokens = useQuery(joinTokensQuery(true));
  const now = useNow();
  const revoke = useAction((id: string) => need(api.DELETE("/api/v1/join-tokens/{id}", { params: { path: { id } } })), ["join_token"], { done: t("join.revoked") });
  if (tokens.error && !tokens.data) return <ProblemView error={tokens.error} retry={() => void tokens.refetch()} />;
  const open = (tokens.data?.items ?? []).filter((token) => isOpen(token, now));
  if (open.length === 0) return null;
  const ask = (id: string) =>
    void modal.confirm({ title: t("join.revokeTitle"), content: t("join.revokeText"), okText: t("keys.revoke"), okButtonProps: { danger: true }, cancelText: t("action.cancel"), onOk: () => revoke.mutateAsync(id).catch(() => undefined) });
  return (
    <Panel title={t("join.tokens")} extra={<span className="small quiet">{t("join.tokensHint")}</span>} flush>
      <Table<JoinToken>
        size="middle"
        pagination={false}
        scroll={{ x: "max-content" }}
        rowKey="id"
        dataSource={open}
        columns={[
          { key: "id", title: t("join.token"), render: (_, token) => <span className="mono">{token.id}</span> },
          { key: "uses", title: t("join.usesLeft"), align: "right", render: (_, token) => <span className="num">{t("join.usesOf", { left: token.uses_left, uses: token.uses })}</span> },
          { key: "pool", title: t("publish.pool"), render: (_, token) => token.pool ?? "default" },
          { key: "labels", title: t("pools.labels"), render: (_, token) => Object.entries(token.labels).map(([key, value]) => <Tag key={key}>{key}={value}</Tag>) },
          { key: "expires", title: t("keys.expires"), render: (_, token) => <Time at={token.expires_at} /> },
          { key: "by", title: t("keys.by"), render: (_, token) => token.created_by },
          { key: "actions", title: "", align: "right", render: (_, token) => <Button size="small" danger aria-label={`${t("keys.revoke")} ${token.id}`} onClick={() => ask(token.id)}>{t("keys.revoke")}</Button> },
        ]}
      />
    </Panel>
  );
}
