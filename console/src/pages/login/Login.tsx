import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, Button, Form, Input } from "antd";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { Navigate, useSearchParams } from "react-router";
import { api, need } from "../../api/client";
import type { Login as Credentials } from "../../api/schema";
import { isLanguage } from "../../app/i18n";
import { useSettings } from "../../app/settings";
import { problemText } from "../../parts/Feedback";
import { sessionQuery } from "../../queries/session";
import { Story } from "./Story";

export function Login() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const { setLanguage } = useSettings();
  const [parameters] = useSearchParams();
  const { data: session } = useQuery(sessionQuery);
  const login = useMutation({
    mutationFn: (body: Credentials) => need(api.POST("/api/v1/session", { body })),
    onSuccess: (next) => {
      client.clear();
      if (isLanguage(next.user.language)) setLanguage(next.user.language);
      client.setQueryData(sessionQuery.queryKey, next);
    },
  });
  useEffect(() => {
    document.title = `${t("login.title")} · aicp`;
  }, [t]);

  if (session) return <Navigate to={session.user.must_change_password ? "/password" : safeNext(parameters.get("next"))} replace />;
  return (
    <Story>
      <h1 style={{ fontSize: 24, fontWeight: 620, letterSpacing: "-.015em", margin: "0 0 4px" }}>{t("login.title")}</h1>
      <p className="quiet" style={{ margin: "0 0 24px" }}>{t("login.sub")}</p>
      <Form<Credentials> layout="vertical" requiredMark={false} onFinish={(values) => login.mutate(values)}>
        {login.error && <Alert role="alert" type="error" showIcon style={{ marginBottom: 18 }} title={problemText(login.error)} />}
        <Form.Item name="user" label={t("login.user")} rules={[{ required: true, message: t("form.required") }]}>
          <Input size="large" autoFocus autoComplete="username" autoCapitalize="none" />
        </Form.Item>
        <Form.Item name="password" label={t("login.password")} rules={[{ required: true, message: t("form.required") }]}>
          <Input.Password size="large" autoComplete="current-password" />
        </Form.Item>
        <Button block size="large" type="primary" htmlType="submit" loading={login.isPending}>
          {t("login.action")}
        </Button>
      </Form>
      <p className="small quiet" style={{ marginTop: 20 }}>{t("login.first")}</p>
    </Story>
  );
}

/** Only addresses of this console are followed. */
function safeNext(next: string | null): string {
  return next?.startsWith("/") && !next.startsWith("//") && !next.includes("\\") ? next : "/overview";
}
