import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Outlet } from "react-router";
import { useLiveChanges } from "../queries/live";
import { useSession } from "../queries/session";
import { GlobalSearch } from "./GlobalSearch";
import { JobsTray } from "./JobsTray";
import { LanguageMenu, ThemeSwitch } from "./Preferences";
import { ProjectSwitcher } from "./ProjectSwitcher";
import { Rail } from "./Rail";
import { UserMenu } from "./UserMenu";

export function Frame() {
  const { t } = useTranslation();
  const [searching, setSearching] = useState(false);
  const { user } = useSession();
  useLiveChanges();
  return (
    <div className="frame" data-user={user.name}>
      <a className="skip" href="#main">{t("frame.skip")}</a>
      <Rail />
      <header className="topbar">
        <ProjectSwitcher />
        <GlobalSearch open={searching} onOpen={setSearching} />
        <span className="grow" />
        <JobsTray />
        <LanguageMenu />
        <ThemeSwitch />
        <UserMenu />
      </header>
      <main className="main" id="main" tabIndex={-1}>
        <Outlet />
      </main>
    </div>
  );
}
