import { ReloadOutlined } from "@ant-design/icons";
import { Alert, Button, Skeleton } from "antd";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Problem } from "../api/client";
import { localized } from "../app/sentences";

/** What went wrong, in the platform's words, with a way to try again and the request id for the log. */
export function ProblemView({ error, retry }: { error: unknown; retry?: () => void }) {
  const { t } = useTranslation();
  const problem = error instanceof Problem ? error : null;
  const offline = error instanceof TypeError;
  return (
    <Alert
      type="error"
      showIcon
      role="alert"
      style={{ margin: 12 }}
      title={offline ? t("problem.offline") : error instanceof Error ? localized(error.message) : t("problem.unknown")}
      description={
        <div className="stack">
          {(problem?.hint ?? (offline && t("problem.offlineHint"))) && <span>{problem?.hint ? localized(problem.hint) : t("problem.offlineHint")}</span>}
          {problem?.requestId && (
            <span className="small quiet">
              {t("problem.request")} <code className="mono">{problem.requestId}</code>
            </span>
          )}
        </div>
      }
      action={
        retry && (
          <Button size="small" icon={<ReloadOutlined />} onClick={retry}>
            {t("problem.retry")}
          </Button>
        )
      }
    />
  );
}

/** One line for a toast or a form. */
export function problemText(error: unknown): string {
  if (error instanceof Problem) {
    const text = [error.message, error.hint].map(localized).join(" ").trim();
    return error.requestId ? `${text} (${error.requestId})` : text;
  }
  return error instanceof Error ? localized(error.message) : String(error);
}

export interface EmptyProps {
  icon: ReactNode;
  title: string;
  text: string;
  action?: ReactNode;
}

/** Says what would be here and offers the next step. */
export function Empty({ icon, title, text, action }: EmptyProps) {
  return (
    <div className="empty">
      <div className="mark" aria-hidden>
        {icon}
      </div>
      <h3>{title}</h3>
      <p>{text}</p>
      {action}
    </div>
  );
}

export function PageSkeleton() {
  return (
    <div className="page" aria-busy>
      <Skeleton active title={{ width: 220 }} paragraph={{ rows: 1, width: 380 }} />
      <div className="panel" style={{ padding: 20, marginTop: 20 }}>
        <Skeleton active title={false} paragraph={{ rows: 8, width: "100%" }} />
      </div>
    </div>
  );
}
